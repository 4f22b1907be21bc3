"""Which steps of a plan would be met in the cache, as far as that can be told before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Literal

from modelpress.pipeline.keys import step_key
from modelpress.pipeline.plan import Plan, PlannedStep
from modelpress.pipeline.reader import INPUTS

Foresight = Literal["cached", "runs", "unknown"]

Find = Callable[[str], Mapping[str, str] | None]
"""Digests of a result's outputs by step key; None where there is no result."""


def foreseen(plan: Plan, inputs: Mapping[str, str], tenant: str, threads: int, find: Find) -> dict[str, Foresight]:
    """By step: "cached" where its result is there, "runs" where it is not, "unknown" where that depends on the run.

    ``inputs`` are the digests of the plan's inputs, ``threads`` those of a step that asks for none. A step is unknown
    when an input of it is still to be made, or it may be skipped (and no result of it is there); so is a measurement,
    and what reads its outputs: its key holds the machine, which only a worker knows.
    """
    digests = {f"{INPUTS}.{name}": digest for name, digest in inputs.items()}
    told: dict[str, Foresight] = {}
    doubtful: set[str] = set()
    for step in plan.steps:
        if step.when or not doubtful.isdisjoint(step.needs):
            doubtful.add(step.id)
        key = "" if step.alone else _key(plan, step, digests, doubtful, tenant, threads)
        outputs = find(key) if key else None
        if outputs is not None:
            digests |= {f"{step.id}.{name}": digest for name, digest in outputs.items()}
            told[step.id] = "cached"
        else:
            told[step.id] = "runs" if key and step.id not in doubtful else "unknown"
    return told


def _key(
    plan: Plan, step: PlannedStep, digests: Mapping[str, str], doubtful: Set[str], tenant: str, threads: int
) -> str:
    """The step's key; empty while what it reads is not known.

    A port that takes many reads those that were not skipped, so one in doubt leaves its key open.
    """
    several = [one for source in step.inputs.values() if not isinstance(source, str) for one in source]
    skippable = any(source.partition(".")[0] in doubtful for source in several)
    if skippable or any(source not in digests for source in step.sources()):
        return ""
    return step_key(
        tenant=tenant,
        method=step.uses,
        version=step.version,
        params=step.params,
        inputs={port: _digests(source, digests) for port, source in step.inputs.items()},
        seed=plan.seed,
        threads=step.threads or threads,
    )


def _digests(source: str | tuple[str, ...], digests: Mapping[str, str]) -> str | tuple[str, ...]:
    return digests[source] if isinstance(source, str) else tuple(digests[one] for one in source)
