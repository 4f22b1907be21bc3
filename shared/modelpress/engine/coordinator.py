"""The folds at work: reads events and words about places, keeps runs and queues, writes what follows.

What is read, what it changes and what follows from it are one commit. So whoever owns a partition next finds runs
exactly as far as they were read, and nothing is said twice but what changes nothing when it is.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from modelpress.bus.ports import Bus, Consumer, Message, Partition, Record, after, partition_of
from modelpress.engine.commands import command_of
from modelpress.engine.dispatch import Dispatcher, Wait
from modelpress.engine.events import (
    EVENTS,
    PLACES,
    CancelWork,
    DeadLetter,
    Event,
    PlaceOffered,
    PlaceWord,
    RetryDue,
    RunCancelled,
    RunSubmitted,
    StepGranted,
    StepInterrupted,
    StepLeft,
    StepReady,
    StepWaits,
    StepWithdrawn,
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
    ``view`` is one that the caller keeps, so that what it has read is not read again.
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
        view: RunsView | None = None,
    ) -> None:
        self._bus = bus
        self._view = view or RunsView(bus)
        self._consumer: Consumer | None = None
        self._pool_of = pool_of
        self._partitions = partitions
        self._lease_s = lease_s
        self._clock = clock
        self._on_event = on_event
        self._looked_s = clock()
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
            # The log is the truth: memory may be ahead of it, and the consumer past records that were not committed.
            self.close()
            self._forget()
            raise

    def get(self, run_id: str) -> RunState | None:
        """The run as far as its events were read; None where it is not one of this coordinator's."""
        return self._runs.get(run_id)

    def filenos(self) -> list[int]:
        """What to select on."""
        return [self._consumer.fileno()] if self._consumer else []

    def due_s(self) -> float:
        """By when, on the monotonic clock, `advance` must be called although nothing came."""
        return self._timers.next_s()

    def close(self) -> None:
        """Leave the other coordinators the work; `advance` takes it up again."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()

    def _forget(self) -> None:
        self._owned = _NOBODY
        self._offsets: dict[Partition, int] = {}
        self._runs: dict[str, RunState] = {}
        self._dispatchers: dict[str, Dispatcher] = {}
        self._timers = Timers(self._lease_s)
        self._early: list[PlaceWord] | None = []
        """Words about places that came before all events were read; None once the queues stand."""

    def _turn(self) -> bool:
        self._consumer = consumer = self._consumer or self._bus.consumer(GROUP, [EVENTS, PLACES])
        records = consumer.poll()
        if consumer.assigned != self._owned:
            self._take_over(consumer.assigned)
        self._look()
        batch = _Batch()
        for record in records:
            self._read(record, batch)
        if self._timers.next_s() <= self._looked_s and consumer.caught_up():
            self._expire(batch)
        if self._early is not None and consumer.caught_up():
            self._restore_queues()
        if self._early is None:
            self._grant(batch)
        self._offsets |= after(records)
        out = batch.messages(self._runs)
        if records or out:
            # All that was read, so that who lost a partition grants nothing from it either.
            consumer.commit(self._offsets, out)
        for event in batch.events:
            self._on_event(event)
        return bool(records or out)

    def _look(self) -> None:
        """Note the time. After an absence of our own nobody is late: nobody could be heard."""
        now_s = self._clock()
        if now_s - self._looked_s > self._lease_s / 3:
            self._timers.renew(now_s)
        self._looked_s = now_s

    def _take_over(self, assigned: frozenset[Partition]) -> None:
        """Begin with what the log says of the partitions that are ours now; every lease begins anew."""
        self._forget()
        self._owned = assigned
        now_s = self._clock()
        for state in self._unfinished():
            if self._owns(EVENTS, state.run_id):
                self._runs[state.run_id] = state
                self._timers.follow_all(state, now_s)

    def _recorded(self, run_id: str) -> RunState | None:
        """The run as the log has it. One that had ended when we took over is not in memory, and stays as it is."""
        self._view.refresh()
        return self._view.get(run_id)

    def _unfinished(self) -> list[RunState]:
        self._view.refresh()
        return self._view.unfinished()

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
        if before is None and isinstance(event, RunSubmitted):
            before = self._recorded(event.run_id)
        folded = fold(before, event, self._pool_of)
        batch.events.append(event)
        state = folded.state
        if state is None:
            return
        self._runs[event.run_id] = state
        batch.note(before, state, folded.changed)
        for word in folded.words:
            self._say(word, before, batch)
        for step_id in folded.changed.union(_alive(state, event)):
            self._timers.follow(state, step_id, self._looked_s)

    def _say(self, word: Word, before: RunState | None, batch: _Batch) -> None:
        batch.out.append(_word_message(word))
        if isinstance(word, CancelWork):
            for left in _stopped(before, word, self._pool_of):
                self._timers.leave(left, self._looked_s)
        elif not isinstance(word, DeadLetter) and self._owns(PLACES, word.pool) and self._early is None:
            # At once, so that nothing is granted that this very turn withdraws.
            self._dispatcher(word.pool).take(word)

    def _hear(self, word: PlaceWord) -> None:
        if isinstance(word, PlaceOffered) and not 0 <= word.partition < self._partitions:
            # A grant to it could not be written, and nothing would be granted any more.
            raise BusError(f"a place is offered in partition {word.partition} of {self._partitions}")
        if isinstance(word, StepReady | StepWithdrawn) and _run_of(word) in self._runs:
            return  # Our own: heard when it was said.
        if self._early is not None:
            self._early.append(word)
        else:
            self._dispatcher(word.pool).take(word)

    def _dispatcher(self, pool: str) -> Dispatcher:
        return self._dispatchers.setdefault(pool, Dispatcher())

    def _restore_queues(self) -> None:
        """Queues and places as the runs say, then what was said since."""
        for state in ({state.run_id: state for state in self._unfinished()} | self._runs).values():
            self._restore(state)
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
        batch.out += [event_message(_event_of(due, self._lease_s)) for due in self._timers.passed(self._looked_s)]
        batch.out += [place_message(word) for word in self._timers.gone(self._looked_s)]

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
                batch.out.append(command_message(command, pool, decision.partition))
                if self._owns(EVENTS, command.run_id):
                    self._fold(granted, batch)  # Our own run: what we have just said need not come back to us.
                else:
                    batch.out.append(event_message(granted))


class _Batch:
    """What one turn writes."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.out: list[Message] = []
        self._changed: dict[str, set[str]] = {}
        self._headers: set[str] = set()

    def note(self, before: RunState | None, state: RunState, changed: Iterable[str]) -> None:
        """Remember which records of a run are not as they were."""
        if before is state:
            return
        self._changed.setdefault(state.run_id, set()).update(state.steps if before is None else changed)
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


def _alive(state: RunState, event: Event) -> tuple[str, ...]:
    """The step of whose current attempt ``event`` is a sign of life."""
    if isinstance(event, RunSubmitted | RunCancelled) or event.step_id not in state.steps:
        return ()
    return (event.step_id,) if state.steps[event.step_id].attempt == event.attempt else ()


def _stopped(before: RunState | None, word: CancelWork, pool_of: PoolOf) -> Iterator[StepLeft]:
    """What the workers that ``word`` stops will say; where a command was lost nobody would."""
    for step in before.steps.values() if before else ():
        out = step.partition is not None and not step.status.final
        if before and out and (not word.step_id or (step.id, step.attempt) == (word.step_id, word.attempt)):
            pool = pool_of(before.plan.step(step.id))
            about = {"run_id": before.run_id, "step_id": step.id, "attempt": step.attempt}
            yield StepLeft(pool=pool, partition=step.partition, **about)


def _run_of(word: StepReady | StepWithdrawn) -> str:
    return word.command.run_id if isinstance(word, StepReady) else word.run_id


def _word_message(word: Word) -> Message:
    if isinstance(word, CancelWork):
        return cancel_message(word)
    return dead_letter_message(word) if isinstance(word, DeadLetter) else place_message(word)


def _event_of(due: Due, lease_s: float) -> Event:
    about = {"run_id": due.run_id, "step_id": due.step_id, "attempt": due.attempt}
    if due.what == "pause":
        return RetryDue(**about, at_s=time.time())
    reason = f"its worker was silent for {lease_s:g} s"
    return StepInterrupted(**about, at_s=time.time(), why="expired", reason=reason)
