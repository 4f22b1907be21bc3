"""A coordinator at its desk: a bus in memory, a clock that the test sets, and what comes and goes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from modelpress.bus.memory import MemoryBus, MemoryLog
from modelpress.bus.ports import Bus, Consumer, Message, Partition, Record, Tail, drain
from modelpress.bus.reader import LogConsumer
from modelpress.engine.coordinator import Coordinator
from modelpress.engine.events import (
    Event,
    PlaceOffered,
    StepLeft,
    event_message,
    parse_command,
    place_message,
    steps_topic,
    topics,
)
from modelpress.engine.records import RunsView
from modelpress.engine.state import RunState, StepState
from modelpress.errors import StoreFullError
from modelpress.pipeline.plan import Plan
from tests.unit.engine.builders import RUN, pool_of, started, submission, succeeded

LEASE_S = 30.0
POOL = "local"
OnCommit = Callable[[Mapping[Partition, int], Sequence[Message]], None]


def _let(offsets: Mapping[Partition, int], out: Sequence[Message]) -> None:
    """Commits are as they are."""


class Desk:
    """``driven`` desks have a coordinator from the start. ``told`` are the events that it has told."""

    def __init__(self, partitions: int = 1, *, driven: bool = True) -> None:
        self.log = MemoryLog()
        self.bus = MemoryBus(self.log)
        self.bus.ensure(topics((POOL,), partitions))
        self.partitions = partitions
        self.clock_s = 1000.0
        self.told: list[Event] = []
        self.on_commit: OnCommit = _let
        self._observer: Callable[[Event], None] = self.told.append
        self._mine: list[Coordinator] = []
        if driven:
            self.coordinator = self.another()
            self.settle()

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *error: object) -> None:
        for coordinator in self._mine:
            coordinator.close()
        self.bus.close()

    def another(self) -> Coordinator:
        """One more coordinator of the same log, as another process would have it."""
        bus = _Tapped(MemoryBus(self.log), lambda offsets, out: self.on_commit(offsets, out))
        made = Coordinator(
            bus,
            pool_of,
            partitions=self.partitions,
            lease_s=LEASE_S,
            clock=lambda: self.clock_s,
            on_event=lambda event: self._observer(event),
        )
        self._mine.append(made)
        return made

    def take_over(self) -> None:
        """The coordinator is gone; a new one goes on."""
        for coordinator in self._mine:
            coordinator.close()
        self._mine.clear()
        self.coordinator = self.another()

    def expel(self, coordinator: Coordinator) -> None:
        """The group goes on without ``coordinator``, which does not know yet."""
        consumer = coordinator._consumer
        if isinstance(consumer, _TappedConsumer):
            consumer.expel()

    def settle(self, *others: Coordinator) -> None:
        """Advance until nothing more happens."""
        for _ in range(200):
            busy = [coordinator.advance() for coordinator in (self.coordinator, *others)]
            if not any(busy):
                return
        raise AssertionError("the coordinator never comes to rest")

    def begin(self, plan: Plan, cores: int = 1) -> None:
        """A run whose step ``a`` runs."""
        self.offer(cores)
        self.send(submission(plan))
        self.settle()
        self.send(started("a"))
        self.settle()

    def pass_time(self, seconds: float) -> None:
        """Time goes by while the coordinator looks at it."""
        end_s = self.clock_s + seconds
        while self.clock_s < end_s:
            self.clock_s = min(end_s, self.clock_s + 1.0)
            self.coordinator.advance()

    def send(self, *events: Event) -> None:
        self.bus.producer().send([event_message(event) for event in events])

    def offer(self, cores: int, partition: int = 0, worker: str = "w1") -> None:
        word = PlaceOffered(pool=POOL, worker=worker, partition=partition, cores=cores)
        self.bus.producer().send([place_message(word)])

    def left(self, step_id: str, attempt: int = 1, run_id: str = RUN) -> None:
        word = StepLeft(pool=POOL, partition=0, run_id=run_id, step_id=step_id, attempt=attempt)
        self.bus.producer().send([place_message(word)])

    def done(self, step_id: str, attempt: int = 1) -> None:
        """The worker's last words of a step."""
        self.send(succeeded(step_id, attempt))
        self.left(step_id, attempt)

    def commands(self) -> list[tuple[str, int]]:
        """Every command that was ever written: ``run/step`` and attempt."""
        with contextlib.closing(self.bus.tail([steps_topic(POOL)])) as tail:
            commands = [parse_command(record.value) for record in drain(tail)]
        return [(command.name, command.attempt) for command in commands]

    def state(self, run_id: str = RUN) -> RunState:
        state = self.coordinator.get(run_id)
        assert state is not None
        return state

    def step(self, step_id: str) -> StepState:
        return self.state().steps[step_id]

    def logged(self, run_id: str = RUN) -> RunState | None:
        """The run as its records tell."""
        with contextlib.closing(RunsView(self.bus)) as view:
            view.refresh()
            return view.get(run_id)

    def observe(self, observer: Callable[[Event], None]) -> None:
        self._observer = observer

    @contextlib.contextmanager
    def commits_do(self, on_commit: OnCommit) -> Iterator[None]:
        """``on_commit`` comes before every commit."""
        self.on_commit = on_commit
        try:
            yield
        finally:
            self.on_commit = _let

    @contextlib.contextmanager
    def full_disk(self) -> Iterator[None]:
        def refuse(offsets: Mapping[Partition, int], out: Sequence[Message]) -> None:
            raise StoreFullError("no space left")

        with self.commits_do(refuse):
            yield


class _Tapped:
    """A bus whose consumers tell of each commit before they do it."""

    def __init__(self, bus: Bus, on_commit: OnCommit) -> None:
        self._bus = bus
        self._on_commit = on_commit
        self.ensure = bus.ensure
        self.producer = bus.producer
        self.close = bus.close

    def tail(self, names: Sequence[str], *, from_end: bool = False) -> Tail:
        return self._bus.tail(names, from_end=from_end)

    def consumer(self, group: str, names: Sequence[str]) -> Consumer:
        return _TappedConsumer(self._bus.consumer(group, names), self._on_commit)


class _TappedConsumer:
    def __init__(self, consumer: Consumer, on_commit: OnCommit) -> None:
        self._consumer = consumer
        self._on_commit = on_commit
        self.fileno = consumer.fileno
        self.close = consumer.close
        self.caught_up = consumer.caught_up

    @property
    def assigned(self) -> frozenset[Partition]:
        return self._consumer.assigned

    def poll(self, timeout_s: float = 0.0, limit: int = 500) -> list[Record]:
        return self._consumer.poll(timeout_s, limit)

    def expel(self) -> None:
        assert isinstance(self._consumer, LogConsumer)
        self._consumer.membership.leave(self._consumer.name)

    def commit(self, offsets: Mapping[Partition, int], out: Sequence[Message] = ()) -> None:
        self._on_commit(offsets, out)
        self._consumer.commit(offsets, out)
