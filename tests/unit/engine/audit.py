"""What always holds of an engine, whatever happened to it; checked against its log and its coordinators."""

from __future__ import annotations

from collections.abc import Iterable

from modelpress.bus.memory import MemoryBus
from modelpress.bus.ports import Record, drain
from modelpress.engine.coordinator import Coordinator
from modelpress.engine.dispatch import Dispatcher
from modelpress.engine.events import (
    EVENTS,
    StepCommand,
    StepFailed,
    StepSucceeded,
    parse_command,
    parse_event,
    steps_topic,
)
from modelpress.engine.fold import MAX_DEATHS, MAX_RETRIES
from modelpress.engine.records import RunsView
from modelpress.engine.state import RunState, StepState, StepStatus
from tests.unit.engine.workers import CORES, POOL

Attempt = tuple[str, str, int]


class Audit:
    """Remembers what it saw, so that it sees what must not change.

    ``shared``: several coordinators were there at once, so that what one granted the next may have read too late.
    ``lossy``: results were lost, so that steps run again.
    """

    def __init__(self, bus: MemoryBus) -> None:
        self.shared = self.lossy = False
        self._view = RunsView(bus)
        self._commands = bus.tail([steps_topic(POOL)])
        self._events = bus.tail([EVENTS])
        self._finals: dict[str, RunState] = {}
        self._seen: dict[tuple[str, str], StepState] = {}
        self._granted: set[Attempt] = set()
        self._told: dict[Attempt, list[StepSucceeded | StepFailed]] = {}

    def after_turn(self, coordinator: Coordinator, runs: Iterable[str]) -> None:
        """What was committed is what is in memory, and what was granted was to be."""
        self._view.refresh()
        for run_id in runs:
            state = coordinator.get(run_id)
            assert state is None or state == self._view.get(run_id), "the log tells another story"
        for record in drain(self._commands):
            self._check_command(record)

    def check(self, coordinators: Iterable[Coordinator]) -> None:
        self._view.refresh()
        self._listen()
        for state in self._view.states():
            self._check_run(state)
        for coordinator in coordinators if not self.shared else ():
            for dispatcher in coordinator._dispatchers.values():
                self._check_places(dispatcher)

    def unfinished(self, runs: Iterable[str]) -> list[tuple[str, RunState | None]]:
        self._view.refresh()
        states = [(run_id, self._view.get(run_id)) for run_id in runs]
        return [(run_id, state) for run_id, state in states if state is None or not state.status.final]

    def _listen(self) -> None:
        for record in drain(self._events):
            event = parse_event(record.value)
            if isinstance(event, StepSucceeded | StepFailed):
                self._told.setdefault((event.run_id, event.step_id, event.attempt), []).append(event)

    def _check_command(self, record: Record) -> None:
        command = parse_command(record.value)
        state = self._view.get(command.run_id)
        assert state is not None
        needs = [state.steps[need].status for need in state.plan.step(command.step_id).needs]
        ended = all(status in (StepStatus.SUCCEEDED, StepStatus.SKIPPED) for status in needs)
        assert ended or self.lossy or self.shared, "a step is out before what it needs"
        attempt = (command.run_id, command.step_id, command.attempt)
        if not self.shared:
            step = state.steps[command.step_id]
            assert attempt not in self._granted, "an attempt was granted twice"
            assert (step.status, step.attempt) == (StepStatus.READY, command.attempt), "granted, but not to be run"
            assert step.partition == record.partition.number
        self._granted.add(attempt)

    def _check_run(self, state: RunState) -> None:
        final = self._finals.get(state.run_id)
        assert final is None or state == final, "a final run changed"
        if state.status.final:
            self._finals[state.run_id] = state
            assert all(step.status.final for step in state.steps.values()), "a final run has open steps"
        assert state.open_steps == sum(not step.status.final for step in state.steps.values())
        for step in state.steps.values():
            self._check_step(state, step)
            before = self._seen.get((state.run_id, step.id))
            if before is not None:
                self._check_change(before, step)
            self._seen[state.run_id, step.id] = step

    def _check_step(self, state: RunState, step: StepState) -> None:
        assert step.deaths <= MAX_DEATHS
        assert step.retries <= MAX_RETRIES + 1
        idle = (StepStatus.WAITING, StepStatus.READY)
        assert not (state.ending and step.status in idle), "a run that ends has steps that would start"
        told = self._told.get((state.run_id, step.id, step.attempt), [])
        if step.status is StepStatus.SUCCEEDED:
            results = [event.outputs for event in told if isinstance(event, StepSucceeded)]
            assert step.outputs in results, "accepted, but not from the attempt that counts"
        if step.status is StepStatus.FAILED and not step.error.startswith("given up"):
            errors = [event.error for event in told if isinstance(event, StepFailed)]
            assert step.error in errors, "failed, but not by the attempt that counts"

    def _check_change(self, before: StepState, step: StepState) -> None:
        assert step.attempt >= before.attempt, "an attempt went back"
        if before.status is StepStatus.SUCCEEDED and step.attempt == before.attempt:
            assert step == before, "an accepted step changed"
        if before.status is StepStatus.SUCCEEDED and step.attempt > before.attempt:
            assert self.lossy, "a good result was made again"

    def _check_places(self, dispatcher: Dispatcher) -> None:
        by_place: dict[int, list[StepCommand]] = {}
        for grant in dispatcher.out():
            by_place.setdefault(grant.partition, []).append(grant.command)
        for commands in by_place.values():
            threads = sum(command.threads for command in commands)
            assert threads <= CORES or len(commands) == 1, "more was granted than there are cores"
            assert len(commands) == 1 or not any(command.alone for command in commands), "a measurement has company"
        keys = [grant.command.key for grant in dispatcher.out() if grant.command.key]
        assert len(keys) == len(set(keys)) or self.lossy, "the same is computed twice at once"
