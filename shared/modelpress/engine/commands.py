"""What a step of a run is asked to do, from what the steps before it came to."""

from __future__ import annotations

from collections.abc import Mapping

from modelpress.engine.events import StepCommand
from modelpress.engine.state import RunState, StepState, StepStatus
from modelpress.pipeline.gates import parse_condition
from modelpress.pipeline.keys import step_key
from modelpress.pipeline.plan import PlannedStep


def command_of(state: RunState, planned: PlannedStep) -> StepCommand:
    """The command of the step's current attempt; everything that it needs has ended."""
    threads = planned.threads or state.threads
    inputs = {port: _digests(state, source) for port, source in planned.inputs.items()}
    key = step_key(
        tenant=state.tenant,
        method=planned.uses,
        version=planned.version,
        params=planned.params,
        inputs=inputs,
        seed=state.plan.seed,
        threads=threads,
    )
    return StepCommand(
        tenant=state.tenant,
        run_id=state.run_id,
        step_id=planned.id,
        attempt=state.steps[planned.id].attempt,
        uses=planned.uses,
        version=planned.version,
        params=planned.params,
        inputs=inputs,
        seed=state.plan.seed,
        threads=threads,
        key="" if planned.alone else key,
        alone=planned.alone,
        timeout_s=planned.timeout_s,
        memory_mb=planned.memory_mb,
    )


def skipped_by(planned: PlannedStep, steps: Mapping[str, StepState]) -> str:
    """Why a step that waits for nothing more is not to run; empty when it is."""
    for source in planned.inputs.values():
        several = (source,) if isinstance(source, str) else source
        if several and not any(exists(steps, one) for one in several):
            return _absent(steps, several[0])
    for reference, condition in planned.when.items():
        owner, _, metric = reference.partition(".")
        value = steps[owner].metrics.get(metric)
        if value is None:
            return f"{reference} was not measured"
        if not parse_condition(condition).holds(value):
            return f"{reference} is {value:.6g}, not {condition}"
    return ""


def _absent(steps: Mapping[str, StepState], reference: str) -> str:
    owner, _, name = reference.partition(".")
    return f"'{owner}' was skipped" if steps[owner].status is StepStatus.SKIPPED else f"'{owner}' made no '{name}'"


def exists(steps: Mapping[str, StepState], reference: str) -> bool:
    """Whether there is what ``inputs.<name>`` or ``<step>.<output>`` names."""
    owner, _, name = reference.partition(".")
    return owner == "inputs" or name in steps[owner].outputs


def resolved(inputs: Mapping[str, str], steps: Mapping[str, StepState], reference: str) -> str:
    """The digest that a reference stands for."""
    owner, _, name = reference.partition(".")
    return inputs[name] if owner == "inputs" else steps[owner].outputs[name]


def _digests(state: RunState, source: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """Digests of what a port reads; of several, those that were not skipped."""
    if isinstance(source, str):
        return resolved(state.inputs, state.steps, source)
    there = (one for one in source if exists(state.steps, one))
    return tuple(resolved(state.inputs, state.steps, one) for one in there)
