"""Plans and events in few words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from modelpress.engine.events import (
    Event,
    RunSubmitted,
    StepCommand,
    StepFailed,
    StepInterrupted,
    StepInvalidated,
    StepStarted,
    StepSucceeded,
)
from modelpress.engine.fold import apply, decide
from modelpress.engine.state import RunState
from modelpress.pipeline.plan import Plan, PlannedStep

RUN = "r1"
GATE = {"drop": "<= 0.5"}


def plan_of(needs: Mapping[str, Iterable[str]], gated: Iterable[str] = ()) -> Plan:
    """A step by name, with the steps whose output ``out`` it reads; all steps' outputs are the plan's."""
    gated = set(gated)
    steps = tuple(
        PlannedStep(
            id=name,
            uses="toys/any",
            version=1,
            inputs={"data": "inputs.data", **{f"from-{need}": f"{need}.out" for need in sorted(below)}},
            outputs=("out",),
            gate=GATE if name in gated else {},
        )
        for name, below in needs.items()
    )
    outputs = {f"{name}-out": f"{name}.out" for name in needs}
    return Plan(name="p", inputs={"data": "tag"}, steps=steps, outputs=outputs)


def submitted(plan: Plan) -> RunSubmitted:
    return RunSubmitted(run_id=RUN, at_s=1.0, plan=plan, inputs={"data": "sha256:data"}, provenance={"python": "3"})


def started(step_id: str, attempt: int = 1) -> StepStarted:
    return StepStarted(run_id=RUN, at_s=3.0, step_id=step_id, attempt=attempt, key="key", worker={"simd": "AVX2"})


def succeeded(step_id: str, attempt: int = 1, **metrics: float) -> StepSucceeded:
    return StepSucceeded(
        run_id=RUN,
        at_s=4.0,
        step_id=step_id,
        attempt=attempt,
        key=f"key-{step_id}",
        outputs={"out": f"sha256:{step_id}"},
        metrics=metrics,
    )


def failed(step_id: str, attempt: int = 1) -> StepFailed:
    return StepFailed(run_id=RUN, at_s=4.0, step_id=step_id, attempt=attempt, error="ValueError: no")


def interrupted(step_id: str, attempt: int = 1) -> StepInterrupted:
    return StepInterrupted(run_id=RUN, at_s=4.0, step_id=step_id, attempt=attempt, reason="its process died")


def invalidated(step_id: str, attempt: int = 1) -> StepInvalidated:
    return StepInvalidated(run_id=RUN, at_s=5.0, step_id=step_id, attempt=attempt, blob="sha256:bad")


def fold(events: Iterable[Event]) -> RunState:
    """The state after ``events``, whose first must be a submission."""
    state: RunState | None = None
    for event in events:
        state = apply(state, event)
    assert state is not None
    return state


def settled(*events: Event, state: RunState | None = None) -> tuple[RunState, list[StepCommand]]:
    """After each event everything that is called for is decided; the state and all commands."""
    commands: list[StepCommand] = []
    for event in events:
        state = apply(state, event)
        assert state is not None
        decision = decide(state, now_s=2.0)
        commands += decision.commands
        for consequence in decision.events:
            state = apply(state, consequence)
            assert state is not None
    assert state is not None
    return state, commands
