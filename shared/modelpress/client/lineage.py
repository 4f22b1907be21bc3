"""What made an artifact, from the records of runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelpress.engine.state import RunState, StepState
from modelpress.pipeline.plan import PlannedStep


@dataclass(frozen=True)
class Making:
    """A step that made an artifact: where, with what parameters, of which digests (by port)."""

    digest: str
    run_id: str
    step: PlannedStep
    inputs: Mapping[str, str]

    def as_record(self) -> dict[str, Any]:
        facts = {"digest": self.digest, "run_id": self.run_id, "step": self.step.id, "uses": self.step.uses}
        return {**facts, "version": self.step.version, "params": self.step.params, "inputs": dict(self.inputs)}


def ancestry(runs: Iterable[RunState], digest: str) -> list[Making]:
    """The steps that led to ``digest`` along models and packages, the last first; empty for what was pushed."""
    makings = {making.digest: making for run in runs for making in _makings(run)}
    chain: list[Making] = []
    while digest in makings and digest not in {m.digest for m in chain}:
        chain.append(makings[digest])
        inputs = chain[-1].inputs
        digest = next((inputs[port] for port in ("student", "model", "package") if port in inputs), "")
    return chain


def _makings(run: RunState) -> Iterable[Making]:
    for step in run.plan.steps:
        state = run.steps.get(step.id) or StepState(id=step.id)
        inputs = {port: _digest(run, source) for port, source in _reads(step)}
        for digest in state.outputs.values():
            if digest not in inputs.values():
                yield Making(digest, run.run_id, step, inputs)


def _reads(step: PlannedStep) -> Iterator[tuple[str, str]]:
    """Each port, numbered where it takes many, with its source."""
    for port, source in step.inputs.items():
        several = [source] if isinstance(source, str) else source
        yield from ((port if isinstance(source, str) else f"{port}[{n}]", one) for n, one in enumerate(several))


def _digest(run: RunState, source: str) -> str:
    node, _, output = source.partition(".")
    if node == "inputs":
        return run.inputs.get(output, "")
    return run.steps[node].outputs.get(output, "") if node in run.steps else ""
