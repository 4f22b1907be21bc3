"""Plans of no-op steps. Steps of another ``series`` have other keys, so that nothing is found in the cache."""

from __future__ import annotations

from collections.abc import Mapping

from modelpress.pipeline.plan import Plan, PlannedStep
from modelpress.testing.toys import CATALOGUE

NOOP = CATALOGUE["toys/noop"]


def chain(steps: int, series: str) -> Plan:
    """Each step reads the report of the one before it."""
    return _plan([_step(i, series, {"source": f"s{i - 1}.report"} if i else {}) for i in range(steps)])


def fanout(steps: int, series: str) -> Plan:
    """No step needs another."""
    return _plan([_step(i, series, {}) for i in range(steps)])


def _step(index: int, series: str, inputs: Mapping[str, str]) -> PlannedStep:
    params = NOOP.params.model_validate({"name": f"{series}-{index}"}).model_dump(mode="json")
    return PlannedStep(
        id=f"s{index}", uses=NOOP.name, version=NOOP.version, params=params, inputs=dict(inputs), outputs=("report",)
    )


def _plan(steps: list[PlannedStep]) -> Plan:
    return Plan(name="noops", inputs={}, steps=tuple(steps), outputs={"report": f"{steps[-1].id}.report"})
