"""The fold at work: reads events, keeps every run's state, writes what the states call for."""

from __future__ import annotations

import time
from collections.abc import Iterable

from modelpress.bus.ports import Bus, Record, after, drain
from modelpress.engine.events import EVENTS, Event, StepInterrupted, command_message, event_message, parse_event
from modelpress.engine.fold import apply, decide
from modelpress.engine.state import RunState

GROUP = "coordinator"


def fold_records(records: Iterable[Record], states: dict[str, RunState]) -> list[Event]:
    """Fold records of ``events`` into ``states`` (by run, in the order of submission); the events they hold."""
    events = [parse_event(record.value) for record in records]
    for event in events:
        state = apply(states.get(event.run_id), event)
        if state is not None:
            states[event.run_id] = state
    return events


def read_states(bus: Bus) -> dict[str, RunState]:
    """Every run of the log, oldest first. Needs no lock and joins no group."""
    states: dict[str, RunState] = {}
    fold_records(drain(bus.tail([EVENTS])), states)
    return states


class Coordinator:
    """The one coordinator of a log.

    Invariant: `decide` sees a state only when everything written before was folded, its own decisions included; so
    nothing is decided twice.
    """

    def __init__(self, bus: Bus) -> None:
        self._producer = bus.producer()
        self.states = read_states(bus)
        # Records after the group's last commit come again and change nothing: they were folded just now.
        self._consumer = bus.consumer(GROUP, [EVENTS])
        self._undecided = {run_id for run_id, state in self.states.items() if not state.status.final}

    def advance(self) -> list[Event]:
        """Fold all that is new, write what it calls for, and fold that too; the new events."""
        events: list[Event] = []
        while (records := drain(self._consumer)) or self._undecided:
            news = fold_records(records, self.states)
            self._undecided |= {event.run_id for event in news}
            self._decide(records)
            events += news
        return events

    def send(self, *events: Event) -> None:
        self._producer.send([event_message(event) for event in events])

    def reissue_lost(self) -> None:
        """Interrupt every step whose command is out although no command is left: it was lost."""
        now_s = time.time()
        reason = "its command was lost from the bus"
        self.send(
            *(
                StepInterrupted(run_id=state.run_id, at_s=now_s, step_id=step.id, attempt=step.attempt, reason=reason)
                for state in self.states.values()
                if not state.status.final
                for step in state.steps.values()
                if step.issued
            )
        )

    def close(self) -> None:
        self._consumer.close()

    def _decide(self, records: list[Record]) -> None:
        now_s = time.time()
        decisions = [decide(state, now_s) for run_id, state in self.states.items() if run_id in self._undecided]
        commands = [command_message(command) for decision in decisions for command in decision.commands]
        events = [event_message(event) for decision in decisions for event in decision.events]
        self._consumer.commit(after(records), [*commands, *events])
        self._undecided.clear()
