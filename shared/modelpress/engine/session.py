"""A session of driving: coordinator and worker in turn, in one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from modelpress.artifacts.store import Store
from modelpress.bus.ports import Bus, Record, after
from modelpress.catalogue import Catalogue
from modelpress.engine.coordinator import Coordinator
from modelpress.engine.events import (
    Event,
    StepCommand,
    StepFailed,
    StepInterrupted,
    StepInvalidated,
    StepLogged,
    StepProgressed,
    event_message,
    parse_command,
    steps_topic,
)
from modelpress.engine.fold import is_current
from modelpress.engine.state import RunState, StepStatus
from modelpress.worker import results
from modelpress.worker.runner import BrokenInputs, StepRunner, Watch

GROUP = "worker"


class Session:
    """Whoever makes one holds the home's lock."""

    def __init__(
        self, bus: Bus, store: Store, catalogue: Catalogue, runner: StepRunner, on_event: Callable[[Event], None]
    ) -> None:
        self._coordinator = Coordinator(bus)
        self._commands = bus.consumer(GROUP, sorted({steps_topic(info.service) for info in catalogue}))
        self._store = store
        self._runner = runner
        self._on_event = on_event

    def until_final(self, run_id: str) -> RunState:
        """Drive until ``run_id`` is final."""
        while True:
            news = self._advance()
            state = self._coordinator.states[run_id]
            if state.status.final:
                return state
            records = self._commands.poll(limit=1)
            for record in records:
                self._work(record)
            if not news and not records:
                self._coordinator.reissue_lost()

    def _advance(self) -> bool:
        events = self._coordinator.advance()
        for event in events:
            self._on_event(event)
        return bool(events)

    def _work(self, record: Record) -> None:
        """Do one command; its place moves on together with its outcome."""
        command = parse_command(record.value)
        outcome: tuple[Event, ...] = ()
        if self._is_wanted(command):
            outcome = self._run(command)
        self._commands.commit(after([record]), [event_message(event) for event in outcome])

    def _is_wanted(self, command: StepCommand) -> bool:
        self._advance()
        return is_current(self._coordinator.states.get(command.run_id), command)

    def _run(self, command: StepCommand) -> tuple[Event, ...]:
        watch = Watch(tell=self._tell, wanted=lambda: self._is_wanted(command))
        outcome = self._runner.run(command, watch)
        match outcome:
            case None:
                return ()
            case BrokenInputs():
                return self._repair(command, outcome, watch)
            case StepInterrupted():
                self._runner.note(command, outcome.reason, watch)
        return (outcome,)

    def _tell(self, event: Event) -> None:
        """Facts go on the bus, and from there to whoever listens; what the coordinator does not read goes there now."""
        if not isinstance(event, StepLogged):
            self._coordinator.send(event)
        if isinstance(event, StepLogged | StepProgressed):
            self._on_event(event)

    def _repair(self, command: StepCommand, broken: BrokenInputs, watch: Watch) -> tuple[Event, ...]:
        """Discard the broken results that steps of this run made, so that those steps run again and then this one.

        An input of the run that is broken cannot be made again: the step fails and names its blobs.
        """
        about: dict[str, Any] = {"run_id": command.run_id, "at_s": time.time()}
        state = self._coordinator.states[command.run_id]
        sources = state.plan.step(command.step_id).inputs
        events: list[Event] = []
        for port, blobs in broken.blobs.items():
            maker, _, name = sources[port].partition(".")
            if maker == "inputs":
                return (_lost_input(command, name, blobs[0]),)
            step = state.steps[maker]
            results.discard(self._store, step.key, blobs)
            self._runner.note(command, f"blob {blobs[0]} of '{sources[port]}' is broken: '{maker}' runs again", watch)
            if step.status is StepStatus.SUCCEEDED:
                events.append(StepInvalidated(**about, step_id=maker, attempt=step.attempt, blob=blobs[0]))
        reason = "an input is being made again"
        return (*events, StepInterrupted(**about, step_id=command.step_id, attempt=command.attempt, reason=reason))


def _lost_input(command: StepCommand, name: str, blob: str) -> StepFailed:
    error = f"blob {blob} of the run's input '{name}' is missing or corrupt: push it again, then resume"
    return StepFailed(
        run_id=command.run_id, at_s=time.time(), step_id=command.step_id, attempt=command.attempt, error=error
    )
