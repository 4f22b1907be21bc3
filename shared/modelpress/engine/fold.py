"""The coordinator's heart, pure: `fold` takes an event into the state of its run and says what follows.

Invariant: folding an event again, or a superseded attempt's, changes nothing and says nothing.
Invariant: a final run changes no more, a final step only when its result was lost; nothing of a cancelled run is
    accepted.
Invariant: a step is offered only when all that it needs has ended, and once an attempt.
Invariant: attempts only grow; deaths and retries are bounded, so every run ends.
Invariant: nothing is decided by a clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelpress.engine.commands import command_of, resolved, skipped_by
from modelpress.engine.events import (
    CancelWork,
    DeadLetter,
    Event,
    Interruption,
    RetryDue,
    RunCancelled,
    RunSubmitted,
    StepFailed,
    StepGranted,
    StepInterrupted,
    StepReady,
    StepStarted,
    StepSucceeded,
    StepWaits,
    StepWithdrawn,
    steps_topic,
)
from modelpress.engine.faults import fault_of
from modelpress.engine.state import RunState, RunStatus, StepState, StepStatus
from modelpress.pipeline.gates import parse_condition
from modelpress.pipeline.plan import PlannedStep

MAX_DEATHS = 3
"""Workers that one step may lose before it fails: it may be what kills them."""
MAX_RETRIES = 5
"""Attempts that may end for reasons that pass."""
BACKOFF_S = 1.0
BACKOFF_MAX_S = 60.0

Word = StepReady | StepWithdrawn | CancelWork | DeadLetter
PoolOf = Callable[[PlannedStep], str]


@dataclass(frozen=True)
class Folded:
    """``changed`` are the ids of the steps that are not as before; ``words`` what is to be said."""

    state: RunState | None
    changed: frozenset[str] = frozenset()
    words: tuple[Word, ...] = ()


def fold(state: RunState | None, event: Event, pool_of: PoolOf) -> Folded:
    """The state after ``event``. It is None while the run's submission was not seen."""
    if state is None or state.status is RunStatus.SUBMITTED:
        if isinstance(event, RunSubmitted):
            return _start(submitted(event), pool_of)
        if state is None or not isinstance(event, RunCancelled):
            return Folded(state)
    if state.status.final or event.run_id != state.run_id:
        return Folded(state)
    turn = _Turn(state, pool_of, event.at_s)
    match event:
        case RunCancelled():
            turn.cancel()
        case RunSubmitted():
            return Folded(state)
        case _ if event.step_id in state.steps and state.steps[event.step_id].attempt == event.attempt:
            _take(turn, event.step_id, event)
    return turn.folded()


def submitted(event: RunSubmitted) -> RunState:
    """The run as it is before anything looked at it."""
    steps = {step.id: StepState(id=step.id) for step in event.plan.steps}
    return RunState(
        run_id=event.run_id,
        plan=event.plan,
        tenant=event.tenant,
        threads=event.threads,
        priority=event.priority,
        inputs=event.inputs,
        steps=steps,
        open_steps=len(steps),
        provenance=event.provenance,
        resumed_from=event.resumed_from,
        submitted_s=event.at_s,
    )


def offer(state: RunState, planned: PlannedStep, pool: str) -> StepReady:
    """The word that a step of ``state`` is ready."""
    command = command_of(state, planned)
    return StepReady(pool=pool, priority=state.priority, order=state.submitted_s, command=command)


def _start(state: RunState, pool_of: PoolOf) -> Folded:
    turn = _Turn(state, pool_of, state.submitted_s)
    turn.header["status"] = RunStatus.RUNNING
    fault = fault_of(state.plan, state.inputs)
    if fault:
        turn.end(RunStatus.FAILED, fault, StepStatus.SKIPPED)
    else:
        for planned in state.plan.steps:
            if not planned.needs:
                turn.consider(planned.id)
    return turn.folded()


def _take(turn: _Turn, step_id: str, event: Event) -> None:
    """What an event about the current attempt of a step changes."""
    step = turn.steps[step_id]
    if isinstance(event, RetryDue) and step.status is StepStatus.WAITING and step.backoff_s:
        turn.change(step_id, backoff_s=0.0)
        turn.consider(step_id)
    if step.status not in (StepStatus.READY, StepStatus.RUNNING):
        return
    match event:
        case StepGranted() if step.status is StepStatus.READY:
            turn.change(step_id, partition=event.partition, waits_for="")
        case StepWaits() if step.status is StepStatus.READY and step.partition is None:
            turn.change(step_id, waits_for=event.waits_for)
        case StepStarted():
            turn.start(step, event)
        case StepSucceeded():
            turn.succeed(step, event)
        case StepFailed():
            turn.fail(step, event.error)
        case StepInterrupted():
            turn.interrupt(step, event)


@dataclass
class _Turn:
    """One fold in the making. The state given stays as it is."""

    state: RunState
    pool_of: PoolOf
    at_s: float
    steps: dict[str, StepState] = field(init=False)
    header: dict[str, Any] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    words: list[Word] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.steps = self.state.steps

    def folded(self) -> Folded:
        if not self.changed and not self.header:
            return Folded(self.state)
        opened = sum(self._opened(step_id) for step_id in self.changed)
        changes = {"steps": self.steps, "open_steps": self.state.open_steps + opened, **self.header}
        state = self.state.model_copy(update=changes)
        if not state.open_steps and not state.status.final:
            state = self._ended(state)
        return Folded(state, frozenset(self.changed), tuple(self.words))

    def change(self, step_id: str, **changes: Any) -> None:
        if self.steps is self.state.steps:
            self.steps = dict(self.steps)
        self.steps[step_id] = self.steps[step_id].model_copy(update=changes)
        self.changed.add(step_id)

    def consider(self, step_id: str) -> None:
        """Offer a waiting step whose needs have ended, or skip it; skipping may let others go on."""
        pending = [step_id]
        while pending:
            candidate = pending.pop()
            step, planned = self.steps[candidate], self.state.plan.step(candidate)
            if step.status is not StepStatus.WAITING or step.backoff_s or not self._fed(planned):
                continue
            why = skipped_by(planned, self.steps)
            if why:
                self.change(candidate, status=StepStatus.SKIPPED, error=why, ended_s=self.at_s)
                pending += self.state.plan.dependents(candidate)
            else:
                self._offer(planned)

    def start(self, step: StepState, event: StepStarted) -> None:
        if step.status is StepStatus.RUNNING and step.worker == event.worker:
            return
        deaths = step.deaths + (step.status is StepStatus.RUNNING)
        if deaths >= MAX_DEATHS:
            self._poisoned(step, deaths, "it was claimed again because its worker was gone")
            return
        changes = {"worker": event.worker, "key": event.key, "deaths": deaths, "started_s": event.at_s}
        self.change(step.id, status=StepStatus.RUNNING, waits_for="", **changes)
        if event.facts and self.state.provenance.get("worker") != event.facts:
            self.header["provenance"] = {**self.state.provenance, "worker": event.facts}

    def succeed(self, step: StepState, event: StepSucceeded) -> None:
        gate = self.state.plan.step(step.id).gate
        gates = {name: name in event.metrics and _holds(gate[name], event.metrics[name]) for name in gate}
        refused = [f"{n} is {_shown(event.metrics, n)}, not {gate[n]}" for n in gates if not gates[n]]
        self.change(
            step.id,
            status=StepStatus.REFUSED if refused else StepStatus.SUCCEEDED,
            key=event.key,
            cached=event.cached,
            outputs=event.outputs,
            metrics=event.metrics,
            gates=gates,
            waits_for="",
            error="; ".join(refused),
            started_s=step.started_s or event.at_s,
            ended_s=event.at_s,
        )
        if refused:
            self._stop()
        else:
            for dependent in self.state.plan.dependents(step.id):
                self.consider(dependent)

    def fail(self, step: StepState, error: str) -> None:
        self.change(step.id, status=StepStatus.FAILED, error=error, waits_for="", ended_s=self.at_s)
        self.words.append(_letter(self.state, step, error, self.at_s, self.pool_of))
        self._stop()

    def interrupt(self, step: StepState, event: StepInterrupted) -> None:
        lost = self._lost_inputs(step, event.broken)
        if lost:
            self.fail(step, lost)
            return
        if event.why == "expired":
            self.words.append(CancelWork(run_id=self.state.run_id, step_id=step.id, attempt=step.attempt))
        counts = _counts(step, event.why)
        if counts["deaths"] >= MAX_DEATHS:
            self._poisoned(step, counts["deaths"], event.reason)
        elif counts["retries"] > MAX_RETRIES:
            self.fail(step, f"given up after {counts['retries']} attempts: {event.reason}")
        elif self.state.ending:
            self.change(step.id, status=StepStatus.CANCELLED, error=event.reason, ended_s=self.at_s)
        else:
            self._again(step, event, counts)
            for maker in self._makers(step.id, event.broken):
                self._remake(maker)
            self.consider(step.id)

    def cancel(self) -> None:
        self.words.append(CancelWork(run_id=self.state.run_id))
        self.end(RunStatus.CANCELLED, "cancelled", StepStatus.CANCELLED)

    def end(self, status: RunStatus, error: str, closed: StepStatus) -> None:
        """End the run with everything that is open ``closed``."""
        self._withdraw()
        for step_id, step in self.state.steps.items():
            if not step.status.final:
                self.change(step_id, status=closed, ended_s=self.at_s if step.started_s else 0.0, waits_for="")
        self.header |= {"status": status, "error": error, "ended_s": self.at_s, "outputs": self._outputs()}

    def _stop(self) -> None:
        """Nothing more of the run may start."""
        if self.state.ending:
            return
        self.header["ending"] = True
        self._withdraw()
        for step_id, step in list(self.steps.items()):
            if step.status in (StepStatus.WAITING, StepStatus.READY):
                if step.partition is not None:
                    self.words.append(CancelWork(run_id=self.state.run_id, step_id=step_id, attempt=step.attempt))
                self.change(step_id, status=StepStatus.SKIPPED, waits_for="")

    def _ended(self, state: RunState) -> RunState:
        failed = [step for step in state.steps.values() if step.status is StepStatus.FAILED]
        refused = [step for step in state.steps.values() if step.status is StepStatus.REFUSED]
        status = RunStatus.FAILED if failed else RunStatus.REFUSED if refused else RunStatus.SUCCEEDED
        what = "failed" if failed else "refused by its gate"
        error = "; ".join(f"step '{step.id}' {what}: {step.error}" for step in failed or refused)
        changes = {"status": status, "error": error, "ended_s": self.at_s, "outputs": self._outputs()}
        return state.model_copy(update=changes)

    def _offer(self, planned: PlannedStep) -> None:
        step = self.steps[planned.id]
        self.change(planned.id, status=StepStatus.READY, attempt=max(1, step.attempt), partition=None, worker="")
        state = self.state.model_copy(update={"steps": self.steps})
        word = offer(state, planned, self.pool_of(planned))
        self.change(planned.id, key=word.command.key)
        self.words.append(word)

    def _again(self, step: StepState, event: StepInterrupted, counts: Mapping[str, int]) -> None:
        backoff_s = _backoff_s(self.state.run_id, step, counts["retries"]) if event.why == "retryable" else 0.0
        changes = {"attempt": step.attempt + 1, "error": event.reason, "backoff_s": backoff_s, **counts}
        self.change(step.id, status=StepStatus.WAITING, started_s=0.0, worker="", partition=None, **changes)

    def _remake(self, maker: str) -> None:
        """Run a step again whose result was lost. Its outputs stay: steps that are out have read them."""
        step = self.steps[maker]
        if step.status is not StepStatus.SUCCEEDED:
            return
        lost: dict[str, Any] = {"metrics": {}, "gates": {}, "started_s": 0.0, "ended_s": 0.0}
        changes = {"attempt": step.attempt + 1, "partition": None, "worker": "", "error": "its result was lost"}
        self.change(maker, status=StepStatus.WAITING, **changes, **lost)
        self.consider(maker)

    def _poisoned(self, step: StepState, deaths: int, reason: str) -> None:
        self.words.append(CancelWork(run_id=self.state.run_id, step_id=step.id, attempt=step.attempt))
        self.change(step.id, deaths=deaths)
        self.fail(self.steps[step.id], f"given up: {deaths} workers died with it: {reason}")

    def _lost_inputs(self, step: StepState, broken: Mapping[str, tuple[str, ...]]) -> str:
        """What is wrong when only inputs of the run itself can be what is broken: nothing can make them again."""
        for port, blobs in broken.items():
            sources = _sources(self.state.plan.step(step.id), port)
            if sources and all(source.startswith("inputs.") for source in sources):
                names = ", ".join(f"'{source.removeprefix('inputs.')}'" for source in sources)
                return f"{_blobs(blobs)} of the run's input {names} is missing or corrupt: push it again, then resume"
        return ""

    def _makers(self, step_id: str, broken: Iterable[str]) -> list[str]:
        planned = self.state.plan.step(step_id)
        owners = [source.partition(".")[0] for port in broken for source in _sources(planned, port)]
        return [owner for owner in owners if owner != "inputs"]

    def _fed(self, planned: PlannedStep) -> bool:
        return all(self.steps[need].status in (StepStatus.SUCCEEDED, StepStatus.SKIPPED) for need in planned.needs)

    def _withdraw(self) -> None:
        waiting = {
            self.pool_of(self.state.plan.step(s.id)) for s in self.steps.values() if s.status is StepStatus.READY
        }
        self.words += [StepWithdrawn(pool=pool, run_id=self.state.run_id) for pool in sorted(waiting)]

    def _outputs(self) -> dict[str, str]:
        """What there is of the run's outputs, whatever came of the run."""
        named = self.state.plan.outputs.items()
        return {
            name: resolved(self.state.inputs, self.steps, reference)
            for name, reference in named
            if self._stands(reference)
        }

    def _stands(self, reference: str) -> bool:
        owner, _, name = reference.partition(".")
        if owner == "inputs":
            return name in self.state.inputs
        step = self.steps.get(owner)
        return step is not None and step.status in (StepStatus.SUCCEEDED, StepStatus.REFUSED) and name in step.outputs

    def _opened(self, step_id: str) -> int:
        return int(self.state.steps[step_id].status.final) - int(self.steps[step_id].status.final)


def _sources(planned: PlannedStep, port: str) -> tuple[str, ...]:
    source = planned.inputs.get(port, ())
    return (source,) if isinstance(source, str) else source


def _blobs(blobs: Sequence[str]) -> str:
    return f"blob {blobs[0]}" if blobs else "a blob"


def _counts(step: StepState, why: Interruption) -> dict[str, int]:
    # A command that nobody claimed is lost, or its worker is: the step itself has killed nobody.
    died = why == "died" or (why == "expired" and step.status is StepStatus.RUNNING)
    passing = why in ("retryable", "inputs")
    return {"deaths": step.deaths + died, "retries": step.retries + passing}


def _backoff_s(run_id: str, step: StepState, retries: int) -> float:
    """Exponential, with jitter between a half and the whole that is the same whoever computes it."""
    seed = hashlib.sha256(f"{run_id}/{step.id}/{step.attempt}".encode()).digest()
    share = 0.5 + int.from_bytes(seed[:4]) / 2**33
    return round(share * min(BACKOFF_MAX_S, BACKOFF_S * float(2 ** (retries - 1))), 3)


def _letter(state: RunState, step: StepState, error: str, at_s: float, pool_of: PoolOf) -> DeadLetter:
    planned = state.plan.step(step.id)
    return DeadLetter(
        id=f"{state.run_id}-{step.id}-{step.attempt}",
        at_s=at_s,
        topic=steps_topic(pool_of(planned)),
        key=state.run_id,
        error=error,
        command=command_of(state, planned),
    )


def _holds(condition: str, value: float) -> bool:
    return parse_condition(condition).holds(value)


def _shown(metrics: Mapping[str, float], name: str) -> str:
    return f"{metrics[name]:.6g}" if name in metrics else "not reported"
