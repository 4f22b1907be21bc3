"""The folds at work: reads events and words about places, keeps runs and queues, writes what follows.

What is read, what it changes and what follows from it are one commit. So whoever owns a partition next finds runs
exactly as far as they were read, and nothing is said twice but what changes nothing when it is.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable, Sequence

from modelpress.bus.ports import Bus, Message, Partition, Record, after, partition_of
from modelpress.engine.commands import command_of
from modelpress.engine.dispatch import Dispatcher, Wait
from modelpress.engine.events import (
    EVENTS,
    PLACES,
    CancelWork,
    DeadLetter,
    Event,
    PlaceWord,
    RetryDue,
    RunCancelled,
    RunSubmitted,
    StepGranted,
    StepInterrupted,
    StepWaits,
    cancel_message,
    command_message,
    dead_letter_message,
    event_message,
    parse_event,
    parse_place_word,
    place_message,
)
from modelpress.engine.fold import PoolOf, Word, fold, offer
from modelpress.engine.records import RunsView, run_messages
from modelpress.engine.state import RunState, StepStatus
from modelpress.engine.timers import Due, Timers
from modelpress.errors import BusError, FencedError

GROUP = "coordinator"
LEASE_S = 30.0
_HEADER = ("status", "ending", "error", "outputs", "provenance", "ended_s")
_NOBODY: frozenset[Partition] = frozenset()


class Coordinator:
    """One of the coordinators of a log. ``partitions`` are those of the keyed topics.

    ``pool_of`` says which pool of workers a step goes to, ``on_event`` is told each event once it was folded.
    """

    def __init__(
        self,
        bus: Bus,
        pool_of: PoolOf,
        *,
        partitions: int = 1,
        lease_s: float = LEASE_S,
        clock: Callable[[], float] = time.monotonic,
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self._bus = bus
        self._consumer = bus.consumer(GROUP, [EVENTS, PLACES])
        self._pool_of = pool_of
        self._partitions = partitions
        self._lease_s = lease_s
        self._clock = clock
        self._on_event = on_event
        self._forget()

    def advance(self) -> bool:
        """Read what there is, and write what follows; never blocks. True when there was anything.

        Raises:
            StoreFullError: no space is left for what follows; it follows when this is called again.
        """
        try:
            return self._turn()
        except FencedError:
            self._forget()
            return True
        except BaseException:
            # What is in memory may be ahead of what was written: the log is the truth.
            self._forget()
            raise

    def get(self, run_id: str) -> RunState | None:
        """The run as far as its events were read; None where it is not one of this coordinator's."""
        return self._runs.get(run_id)

    def filenos(self) -> list[int]:
        """What to select on."""
        return [self._consumer.fileno()]

    def due_s(self) -> float:
        """By when, on the monotonic clock, `advance` must be called although nothing came."""
        return self._timers.next_s()

    def close(self) -> None:
        self._consumer.close()

    def _forget(self) -> None:
        self._owned = _NOBODY
        self._runs: dict[str, RunState] = {}
        self._dispatchers: dict[str, Dispatcher] = {}
        self._timers = Timers(self._lease_s)
        self._early: list[PlaceWord] | None = []
        """Words about places that came before all events were read; None once the queues stand."""

    def _turn(self) -> bool:
        records = self._consumer.poll()
        if self._consumer.assigned != self._owned:
            self._take_over()
        batch = _Batch(self._runs)
        for record in records:
            self._read(record, batch)
        self._expire(batch)
        if self._early is not None and self._consumer.caught_up():
            self._restore_queues()
        if self._early is None:
            self._grant(batch)
        out = batch.messages(self._runs)
        if records or out:
            self._consumer.commit(after(records), out)
        for event in batch.events:
            self._on_event(event)
        return bool(records or out)

    def _take_over(self) -> None:
        """Begin with what the log says of the partitions that are ours now; every lease begins anew."""
        self._forget()
        self._owned = self._consumer.assigned
        now_s = self._clock()
        for state in self._all_runs():
            if self._owns(EVENTS, state.run_id):
                self._runs[state.run_id] = state
                self._timers.follow_all(state, now_s)

    def _all_runs(self) -> list[RunState]:
        view = RunsView(self._bus)
        try:
            view.refresh()
            return view.states()
        finally:
            view.close()

    def _owns(self, topic: str, key: str) -> bool:
        return Partition(topic, partition_of(key, self._partitions)) in self._owned

    def _read(self, record: Record, batch: _Batch) -> None:
        try:
            if record.partition.topic == EVENTS:
                self._fold(parse_event(record.value), batch)
            else:
                self._hear(parse_place_word(record.value))
        except BusError as e:
            batch.out.append(dead_letter_message(letter_of(record, str(e))))

    def _fold(self, event: Event, batch: _Batch) -> None:
        before = self._runs.get(event.run_id)
        folded = fold(before, event, self._pool_of)
        batch.events.append(event)
        state = folded.state
        if state is None:
            return
        self._runs[event.run_id] = state
        batch.note(before, state, folded.changed)
        batch.out += [_word_message(word) for word in folded.words]
        now_s = self._clock()
        if isinstance(event, RunSubmitted | RunCancelled) or state.ending or state.status.final:
            self._timers.follow_all(state, now_s)
            return
        for step_id in folded.changed | {event.step_id}:
            if step_id in state.steps:
                self._timers.follow(state, step_id, now_s)

    def _hear(self, word: PlaceWord) -> None:
        if self._early is not None:
            self._early.append(word)
        else:
            self._dispatcher(word.pool).take(word)

    def _dispatcher(self, pool: str) -> Dispatcher:
        return self._dispatchers.setdefault(pool, Dispatcher())

    def _restore_queues(self) -> None:
        """Queues and places as the runs say, then what was said since."""
        for state in self._all_runs():
            self._restore(self._runs.get(state.run_id, state))
        early, self._early = self._early or [], None
        for word in early:
            self._hear(word)

    def _restore(self, state: RunState) -> None:
        for planned in state.plan.steps if not state.status.final else ():
            step, pool = state.steps[planned.id], self._pool_of(planned)
            if step.status not in (StepStatus.READY, StepStatus.RUNNING) or not self._owns(PLACES, pool):
                continue
            if step.partition is None:
                self._dispatcher(pool).take(offer(state, planned, pool))
            else:
                self._dispatcher(pool).restore(command_of(state, planned), step.partition)

    def _expire(self, batch: _Batch) -> None:
        now_s = self._clock()
        if self._timers.next_s() <= now_s and self._consumer.caught_up():
            batch.out += [event_message(_event_of(due, self._lease_s)) for due in self._timers.passed(now_s)]

    def _grant(self, batch: _Batch) -> None:
        for pool, dispatcher in self._dispatchers.items():
            for decision in dispatcher.grants():
                command = decision.command
                about = {"run_id": command.run_id, "step_id": command.step_id, "attempt": command.attempt}
                if isinstance(decision, Wait):
                    waits = StepWaits(**about, at_s=time.time(), waits_for=decision.holder)
                    batch.out.append(event_message(waits))
                    continue
                granted = StepGranted(**about, at_s=time.time(), partition=decision.partition)
                batch.out += [command_message(command, pool, decision.partition), event_message(granted)]


class _Batch:
    """What one turn writes."""

    def __init__(self, runs: dict[str, RunState]) -> None:
        self.events: list[Event] = []
        self.out: list[Message] = []
        self._changed: dict[str, set[str]] = {}
        self._headers: set[str] = set()

    def note(self, before: RunState | None, state: RunState, changed: Iterable[str]) -> None:
        """Remember which records of a run are not as they were."""
        if before is state:
            return
        self._changed.setdefault(state.run_id, set()).update(changed)
        if before is None or any(getattr(before, name) != getattr(state, name) for name in _HEADER):
            self._headers.add(state.run_id)

    def messages(self, runs: dict[str, RunState]) -> Sequence[Message]:
        """Records of runs first, then what was said."""
        records = [
            message
            for run_id, steps in self._changed.items()
            for message in run_messages(runs[run_id], sorted(steps), header=run_id in self._headers)
        ]
        return [*records, *self.out]


def letter_of(record: Record, error: str) -> DeadLetter:
    """A record that cannot be read, for ``dead-letters``."""
    topic, partition = record.partition
    return DeadLetter(
        id=f"{topic}-{partition}-{record.offset}",
        at_s=time.time(),
        topic=topic,
        partition=partition,
        offset=record.offset,
        key=record.key,
        error=error,
        value=base64.b64encode(record.value).decode(),
    )


def _word_message(word: Word) -> Message:
    if isinstance(word, CancelWork):
        return cancel_message(word)
    return dead_letter_message(word) if isinstance(word, DeadLetter) else place_message(word)


def _event_of(due: Due, lease_s: float) -> Event:
    about = {"run_id": due.run_id, "step_id": due.step_id, "attempt": due.attempt}
    if not due.lease:
        return RetryDue(**about, at_s=time.time())
    reason = f"its worker was silent for {lease_s:g} s"
    return StepInterrupted(**about, at_s=time.time(), why="expired", reason=reason)
