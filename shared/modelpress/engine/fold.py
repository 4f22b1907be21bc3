"""The coordinator, pure: `apply` folds events into the state of a run, `decide` says what the state calls for.

Invariant: replaying events that were applied before changes nothing, in whatever order they come again.
Invariant: a final run changes no more; a step is issued only when all that it needs succeeded, once an attempt.
Invariant: `decide` after the events that it returned were applied returns nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelpress.engine.events import (
    Event,
    RunCancelled,
    RunEnded,
    RunSubmitted,
    StepCommand,
    StepFailed,
    StepInterrupted,
    StepInvalidated,
    StepIssued,
    StepStarted,
    StepSucceeded,
)
from modelpress.engine.state import RunState, RunStatus, StepState, StepStatus
from modelpress.pipeline.gates import parse_condition
from modelpress.pipeline.plan import PlannedStep

MAX_ATTEMPTS = 3
"""A step whose attempts were cut short so often is given up."""

_StepEvent = StepIssued | StepStarted | StepSucceeded | StepFailed | StepInterrupted | StepInvalidated
_ENDING = (StepStatus.FAILED, StepStatus.REFUSED)


@dataclass(frozen=True)
class Decision:
    """What to write: the commands, and the events that say so."""

    commands: tuple[StepCommand, ...] = ()
    events: tuple[Event, ...] = ()


def apply(state: RunState | None, event: Event) -> RunState | None:
    """The state after ``event``; None while the run's submission was not seen."""
    if state is None:
        return _submitted(event) if isinstance(event, RunSubmitted) else None
    if state.status.final or event.run_id != state.run_id:
        return state
    match event:
        case RunCancelled():
            return _ended(state, RunStatus.CANCELLED, "cancelled", event.at_s)
        case RunEnded():
            return _ended(state, event.status, event.error, event.at_s)
        case StepIssued() | StepStarted() | StepSucceeded() | StepFailed() | StepInterrupted() | StepInvalidated():
            return _with_step_event(state, event)
        case _:
            return state


def decide(state: RunState, now_s: float) -> Decision:
    """What to issue and whether the run is over."""
    if state.status.final:
        return Decision()
    if is_ending(state):
        return Decision() if _running(state) else Decision(events=(_end_of(state, now_s),))
    if all(step.status is StepStatus.SUCCEEDED for step in state.steps.values()):
        ended = RunEnded(run_id=state.run_id, at_s=now_s, status=RunStatus.SUCCEEDED)
        return Decision(events=(ended,))
    commands = tuple(_command(state, step) for step in state.plan.steps if _is_ready(state, step))
    if not commands and not any(step.issued for step in state.steps.values()):
        return Decision(events=(_stuck(state, now_s),))
    return Decision(commands, tuple(_issued(command, now_s) for command in commands))


def is_ending(state: RunState) -> bool:
    """Whether nothing more of the run may start."""
    return state.status.final or any(step.status in _ENDING for step in state.steps.values())


def is_current(state: RunState | None, command: StepCommand) -> bool:
    """Whether ``command`` is still to be done: its run goes on, and no later attempt or outcome took its place."""
    if state is None or is_ending(state):
        return False
    step = state.steps[command.step_id]
    return step.issued and step.attempt == command.attempt


def _submitted(event: RunSubmitted) -> RunState:
    return RunState(
        run_id=event.run_id,
        plan=event.plan,
        inputs=event.inputs,
        steps={step.id: StepState(id=step.id) for step in event.plan.steps},
        provenance=event.provenance,
        resumed_from=event.resumed_from,
        submitted_s=event.at_s,
    )


def _with_step_event(state: RunState, event: _StepEvent) -> RunState:
    step = state.steps.get(event.step_id)
    changes = None if step is None else _changes(state.plan.step(step.id), step, event)
    if step is None or changes is None:
        return state
    steps = {**state.steps, step.id: step.model_copy(update=changes)}
    changed: dict[str, Any] = {"steps": steps, "status": RunStatus.RUNNING}
    if isinstance(event, StepStarted) and event.worker:
        changed["provenance"] = {**state.provenance, "worker": event.worker}
    return state.model_copy(update=changed)


def _changes(planned: PlannedStep, step: StepState, event: _StepEvent) -> dict[str, Any] | None:
    """What ``event`` changes of ``step``; None when it comes too early, too late or again."""
    if isinstance(event, StepIssued):
        fresh = step.status is StepStatus.WAITING and not step.issued and event.attempt == step.attempt + 1
        return {"issued": True, "attempt": event.attempt} if fresh else None
    if event.attempt != step.attempt:
        return None
    if isinstance(event, StepInvalidated):
        broken = step.status is StepStatus.SUCCEEDED
        return _again(step, f"blob {event.blob} of its result was broken", event.at_s) if broken else None
    if not step.issued:
        return None
    match event:
        case StepStarted():
            again = step.status is StepStatus.RUNNING
            return None if again else {"status": StepStatus.RUNNING, "key": event.key, "started_s": event.at_s}
        case StepInterrupted():
            return _again(step, event.reason, event.at_s)
        case StepFailed():
            return {"status": StepStatus.FAILED, "issued": False, "error": event.error, "ended_s": event.at_s}
        case StepSucceeded():
            return _success(planned, step, event)


def _again(step: StepState, reason: str, at_s: float) -> dict[str, Any]:
    """Back to waiting, or given up."""
    if step.attempt >= MAX_ATTEMPTS:
        error = f"given up after {step.attempt} attempts: {reason}"
        return {"status": StepStatus.FAILED, "issued": False, "error": error, "ended_s": at_s}
    return {"status": StepStatus.WAITING, "issued": False, "outputs": {}, "metrics": {}, "gates": {}, "started_s": 0.0}


def _success(planned: PlannedStep, step: StepState, event: StepSucceeded) -> dict[str, Any]:
    gates = _judge(planned.gate, event.metrics)
    refused = [
        f"{name} is {_shown(event.metrics, name)}, not {planned.gate[name]}" for name in gates if not gates[name]
    ]
    return {
        "status": StepStatus.REFUSED if refused else StepStatus.SUCCEEDED,
        "issued": False,
        "key": event.key,
        "cached": event.cached,
        "outputs": event.outputs,
        "metrics": event.metrics,
        "gates": gates,
        "error": "; ".join(refused),
        "started_s": step.started_s or event.at_s,
        "ended_s": event.at_s,
    }


def _judge(gate: Mapping[str, str], metrics: Mapping[str, float]) -> dict[str, bool]:
    """Which conditions hold; a metric that was not reported holds none."""
    return {name: name in metrics and parse_condition(text).holds(metrics[name]) for name, text in gate.items()}


def _shown(metrics: Mapping[str, float], name: str) -> str:
    return f"{metrics[name]:.6g}" if name in metrics else "not reported"


def _ended(state: RunState, status: RunStatus, error: str, at_s: float) -> RunState:
    steps = {step.id: _closed(step, status, at_s) for step in state.steps.values()}
    there = {name: reference for name, reference in state.plan.outputs.items() if _exists(state, reference)}
    outputs = {name: _digest(state, reference) for name, reference in there.items()}
    changed = {"status": status, "error": error, "steps": steps, "outputs": outputs, "ended_s": at_s}
    return state.model_copy(update=changed)


def _closed(step: StepState, status: RunStatus, at_s: float) -> StepState:
    if step.status.final:
        return step
    if step.status is StepStatus.RUNNING:
        return step.model_copy(update={"status": StepStatus.CANCELLED, "issued": False, "ended_s": at_s})
    closed = StepStatus.CANCELLED if status is RunStatus.CANCELLED else StepStatus.SKIPPED
    return step.model_copy(update={"status": closed, "issued": False})


def _running(state: RunState) -> bool:
    return any(step.status is StepStatus.RUNNING for step in state.steps.values())


def _end_of(state: RunState, now_s: float) -> RunEnded:
    failed = [step for step in state.steps.values() if step.status is StepStatus.FAILED]
    refused = [step for step in state.steps.values() if step.status is StepStatus.REFUSED]
    status = RunStatus.FAILED if failed else RunStatus.REFUSED
    what = "failed" if failed else "refused by its gate"
    error = "; ".join(f"step '{step.id}' {what}: {step.error}" for step in failed or refused)
    return RunEnded(run_id=state.run_id, at_s=now_s, status=status, error=error)


def _stuck(state: RunState, now_s: float) -> RunEnded:
    waiting = ", ".join(step.id for step in state.steps.values() if step.status is StepStatus.WAITING)
    error = f"the plan cannot go on: the steps {waiting} wait for each other"
    return RunEnded(run_id=state.run_id, at_s=now_s, status=RunStatus.FAILED, error=error)


def _is_ready(state: RunState, planned: PlannedStep) -> bool:
    step = state.steps[planned.id]
    needs = (state.steps[need].status is StepStatus.SUCCEEDED for need in planned.needs())
    return step.status is StepStatus.WAITING and not step.issued and all(needs)


def _command(state: RunState, planned: PlannedStep) -> StepCommand:
    return StepCommand(
        run_id=state.run_id,
        step_id=planned.id,
        attempt=state.steps[planned.id].attempt + 1,
        uses=planned.uses,
        version=planned.version,
        params=planned.params,
        inputs={port: _digest(state, reference) for port, reference in planned.inputs.items()},
        seed=state.plan.seed,
    )


def _digest(state: RunState, reference: str) -> str:
    owner, _, name = reference.partition(".")
    return state.inputs[name] if owner == "inputs" else state.steps[owner].outputs[name]


def _exists(state: RunState, reference: str) -> bool:
    owner = reference.partition(".")[0]
    return owner == "inputs" or bool(state.steps[owner].outputs)


def _issued(command: StepCommand, now_s: float) -> StepIssued:
    return StepIssued(run_id=command.run_id, at_s=now_s, step_id=command.step_id, attempt=command.attempt)
