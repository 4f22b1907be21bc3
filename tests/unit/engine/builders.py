"""Plans and events in few words, and the story of a run as they are folded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from modelpress.engine.events import (
    Event,
    Interruption,
    RetryDue,
    RunCancelled,
    RunSubmitted,
    StepFailed,
    StepGranted,
    StepInterrupted,
    StepReady,
    StepRenewed,
    StepStarted,
    StepSucceeded,
    StepWaits,
)
from modelpress.engine.fold import Folded, Word, fold
from modelpress.engine.state import RunState, StepState, StepStatus
from modelpress.pipeline.plan import Plan, PlannedStep

RUN = "r1"
GATE = {"drop": "<= 0.5"}
DATA = "sha256:data"
T = TypeVar("T")


def pool_of(planned: PlannedStep) -> str:
    return planned.worker_class or "local"


def planned_step(name: str, needs: Iterable[str] = (), **changes: Any) -> PlannedStep:
    """A step that reads the run's input and the output ``out`` of each of ``needs``."""
    inputs = {"data": "inputs.data", **{f"from-{need}": f"{need}.out" for need in needs}}
    fields = {"uses": "toys/any", "version": 1, "params": {"name": name}, "inputs": inputs, "outputs": ("out",)}
    return PlannedStep(id=name, **{**fields, **changes})


def plan_of(needs: Mapping[str, Iterable[str]], gated: Iterable[str] = (), **changes: Mapping[str, Any]) -> Plan:
    """A step by name, with the steps that it reads and ``changes`` to it; all steps' outputs are the plan's."""
    gates = {name: {"gate": GATE} for name in gated}
    steps = [planned_step(n, sorted(below), **gates.get(n, {}), **changes.get(n, {})) for n, below in needs.items()]
    return plan_with(steps)


def plan_with(steps: Iterable[PlannedStep], **changes: Any) -> Plan:
    steps = tuple(steps)
    outputs = {f"{step.id}-out": f"{step.id}.out" for step in steps}
    return Plan(**{"name": "p", "inputs": {"data": "tag"}, "steps": steps, "outputs": outputs, **changes})


def submission(plan: Plan, run_id: str = RUN, **changes: Any) -> RunSubmitted:
    fields: dict[str, Any] = {"at_s": 1.0, "inputs": {"data": DATA}, "provenance": {"python": "3"}}
    return RunSubmitted(run_id=run_id, plan=plan, **{**fields, **changes})


def granted(step_id: str, attempt: int = 1, partition: int = 0) -> StepGranted:
    return StepGranted(run_id=RUN, at_s=2.0, step_id=step_id, attempt=attempt, partition=partition)


def waits(step_id: str, attempt: int = 1, waits_for: str = "r0/x") -> StepWaits:
    return StepWaits(run_id=RUN, at_s=2.0, step_id=step_id, attempt=attempt, waits_for=waits_for)


def started(step_id: str, attempt: int = 1, worker: str = "w1", **facts: Any) -> StepStarted:
    about = {"step_id": step_id, "attempt": attempt, "key": f"key-{step_id}"}
    return StepStarted(run_id=RUN, at_s=3.0, worker=worker, facts=facts, **about)


def renewed(step_id: str, attempt: int = 1) -> StepRenewed:
    return StepRenewed(run_id=RUN, at_s=3.5, step_id=step_id, attempt=attempt)


def succeeded(step_id: str, attempt: int = 1, digest: str = "", **metrics: float) -> StepSucceeded:
    return StepSucceeded(
        run_id=RUN,
        at_s=4.0,
        step_id=step_id,
        attempt=attempt,
        key=f"key-{step_id}",
        outputs={"out": digest or f"sha256:{step_id}"},
        metrics=metrics,
    )


def failed(step_id: str, attempt: int = 1) -> StepFailed:
    return StepFailed(run_id=RUN, at_s=4.0, step_id=step_id, attempt=attempt, error="ValueError: no")


def interrupted(
    step_id: str, attempt: int = 1, why: Interruption = "died", broken: Mapping[str, tuple[str, ...]] | None = None
) -> StepInterrupted:
    about = {"step_id": step_id, "attempt": attempt, "broken": dict(broken or {})}
    return StepInterrupted(run_id=RUN, at_s=4.0, why=why, reason=f"it {why}", **about)


def retry_due(step_id: str, attempt: int) -> RetryDue:
    return RetryDue(run_id=RUN, at_s=5.0, step_id=step_id, attempt=attempt)


def cancelled() -> RunCancelled:
    return RunCancelled(run_id=RUN, at_s=9.0)


class Story:
    """A run, event after event. ``words`` are all that were said."""

    def __init__(self, plan: Plan, *events: Event, **submitted_with: Any) -> None:
        self.words: list[Word] = []
        self.now = Folded(None)
        self.tell(submission(plan, **submitted_with), *events)

    @property
    def state(self) -> RunState:
        assert self.now.state is not None
        return self.now.state

    def tell(self, *events: Event) -> list[Word]:
        """What is said to ``events``."""
        before = len(self.words)
        for event in events:
            self.now = fold(self.now.state, event, pool_of)
            self.words += self.now.words
        return self.words[before:]

    def step(self, step_id: str) -> StepState:
        return self.state.steps[step_id]

    def statuses(self) -> dict[str, StepStatus]:
        return {step.id: step.status for step in self.state.steps.values()}


def said(words: Iterable[Word], kind: type[T]) -> list[T]:
    """Those of ``words`` that are of ``kind``."""
    return [word for word in words if isinstance(word, kind)]


def ready(words: Iterable[Word]) -> list[tuple[str, int]]:
    """Steps, with their attempts, that ``words`` call ready."""
    return [(word.command.step_id, word.command.attempt) for word in said(words, StepReady)]
