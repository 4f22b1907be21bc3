"""What is wrong with a plan that came over the bus: another version, or another program, may have made it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from graphlib import CycleError, TopologicalSorter

from modelpress.artifacts.digest import canonical_json
from modelpress.errors import InputError
from modelpress.pipeline.gates import parse_condition
from modelpress.pipeline.plan import Plan, PlannedStep


def fault_of(plan: Plan, inputs: Collection[str]) -> str:
    """Why ``plan`` cannot be run to an end with ``inputs``; empty for every plan that `validate` made.

    A fold that met such a plan later would have to raise, and with it every run of the log would stop.
    """
    if not plan.steps:
        return "the plan has no steps"
    return _names(plan, inputs) or _circle(plan) or next(filter(None, map(_values, plan.steps)), "")


def _names(plan: Plan, inputs: Collection[str]) -> str:
    counts = Counter(step.id for step in plan.steps)
    several = sorted(step_id for step_id, count in counts.items() if count > 1)
    if several:
        return f"several steps are called {', '.join(several)}"
    read = {source for step in plan.steps for source in (*step.sources(), *step.when)} | set(plan.outputs.values())
    owners = {source.partition(".")[0] for source in read if not source.startswith("inputs.")}
    missing = sorted(owners - set(counts))
    if missing:
        return f"the plan needs steps that it lacks: {', '.join(missing)}"
    named = {source.removeprefix("inputs.") for source in read if source.startswith("inputs.")}
    missing = sorted(named - set(inputs))
    return f"the plan needs inputs that it lacks: {', '.join(missing)}" if missing else ""


def _circle(plan: Plan) -> str:
    try:
        TopologicalSorter({step.id: step.needs for step in plan.steps}).prepare()
    except CycleError as e:
        return f"the plan cannot go on: the steps {', '.join(sorted(set(e.args[1])))} wait for each other"
    return ""


def _values(planned: PlannedStep) -> str:
    try:
        canonical_json(planned.params)
        for condition in (*planned.gate.values(), *planned.when.values()):
            parse_condition(condition)
    except (InputError, ValueError) as e:
        return f"step '{planned.id}': {e}"
    return ""
