"""A model of workers and of the store that they share: what they say on the bus, without doing any work."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field

from modelpress.bus.memory import MemoryBus
from modelpress.bus.ports import Message, Partition, Record
from modelpress.bus.reader import LogConsumer
from modelpress.engine.events import (
    CONTROL,
    CancelWork,
    Event,
    Interruption,
    PlaceOffered,
    StepCommand,
    StepFailed,
    StepInterrupted,
    StepLeft,
    StepRenewed,
    StepStarted,
    StepSucceeded,
    event_message,
    parse_cancel,
    parse_command,
    place_message,
    steps_topic,
)
from modelpress.errors import FencedError

POOL = "local"
CORES = 2
"""Of each partition's place."""


@dataclass(frozen=True)
class Result:
    digest: str
    metrics: dict[str, float]


@dataclass
class Results:
    """``results/<key>`` by conditional create. No two computations give the same digest, so that mix-ups show."""

    held: dict[str, Result] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    computed: int = 0

    def find(self, key: str) -> Result | None:
        """The result, if its blobs are there; one that is damaged goes."""
        result = self.held.get(key)
        if result is not None and result.digest in self.lost:
            del self.held[key]
            return None
        return result

    def create(self, key: str, metrics: dict[str, float]) -> Result:
        """What is accepted: the first that was created."""
        self.computed += 1
        return self.find(key) or self.held.setdefault(key, Result(f"sha256:{key[:6]}-{self.computed}", metrics))


class Stage(enum.Enum):
    TAKEN = "taken"
    CLAIMED = "claimed"
    STORED = "stored"


@dataclass(eq=False)
class Job:
    """A command that a worker has, and how far it is."""

    command: StepCommand
    partition: Partition
    offset: int
    stage: Stage = Stage.TAKEN
    accepted: Result | None = None

    @property
    def key(self) -> str:
        return self.command.key or f"measured-{self.command.step_id}-{sorted(self.command.inputs.items())}"


class Worker:
    """A member of the pool's group. It dies with `die`; ``frozen`` it does nothing, and may go on later."""

    def __init__(self, name: str, bus: MemoryBus, results: Results, clock_s: Callable[[], float]) -> None:
        self.name = name
        self.frozen = False
        self.jobs: list[Job] = []
        self._bus = bus
        self._results = results
        self._clock_s = clock_s
        self._consumer = bus.consumer(f"worker.{POOL}", [steps_topic(POOL)])
        self._control = bus.tail([CONTROL], from_end=True)
        self._cancels: list[CancelWork] = []
        self._owned: frozenset[Partition] = frozenset()
        self._read_to: dict[Partition, int] = {}

    def take(self) -> None:
        """Read commands, and offer places; what is lost with its partition is dropped."""
        records = self._consumer.poll()
        assigned = self._consumer.assigned
        self.jobs = [job for job in self.jobs if job.partition in assigned]
        if assigned != self._owned:
            self._owned = assigned
            self.offer()
        for record in records:
            self._take(record)

    def offer(self) -> None:
        words = [PlaceOffered(pool=POOL, worker=self.name, partition=p.number, cores=CORES) for p in self._owned]
        self._bus.producer().send([place_message(word) for word in words])

    def listen(self) -> None:
        """Stop what was cancelled."""
        self._cancels += [parse_cancel(record.value) for record in self._control.poll()]
        while unwanted := [job for job in self.jobs if not self._wanted(job)]:
            self._end(unwanted[0], None)

    def go_on(self, job: Job, top1: float = 100.0) -> None:
        """The job's next stage, if all goes well."""
        match job.stage:
            case Stage.TAKEN:
                self._begin(job)
            case Stage.CLAIMED:
                job.accepted = self._results.create(job.key, {"top1": top1})
                job.stage = Stage.STORED
            case Stage.STORED:
                self._succeed(job, cached=False)

    def renew(self, job: Job) -> None:
        if job.stage is not Stage.TAKEN:
            self._commit({}, [event_message(StepRenewed(**self._about(job)))])

    def fail(self, job: Job) -> None:
        self._end(job, StepFailed(**self._about(job), error="ValueError: no"))

    def interrupt(self, job: Job, why: Interruption) -> None:
        self._end(job, StepInterrupted(**self._about(job), why=why, reason=f"it {why}"))

    def lose(self, job: Job) -> None:
        """The command is gone, and nobody says so: its topic was lost."""
        self.jobs.remove(job)
        self._commit(self._mark(job.partition), [])

    def expel(self) -> None:
        """The group goes on without it; it does not know yet."""
        consumer = self._consumer
        assert isinstance(consumer, LogConsumer)
        consumer.membership.leave(consumer.name)

    def die(self) -> None:
        self._consumer.close()
        self._control.close()

    def _take(self, record: Record) -> None:
        self._read_to[record.partition] = record.offset + 1
        self.jobs = [j for j in self.jobs if (j.partition, j.offset) != (record.partition, record.offset)]
        self.jobs.append(Job(parse_command(record.value), record.partition, record.offset))

    def _begin(self, job: Job) -> None:
        broken = {port: gone for port, value in job.command.inputs.items() if (gone := self._gone(value))}
        if not self._wanted(job):
            self._end(job, None)
        elif (found := self._results.find(job.key)) is not None:
            job.accepted = found
            self._succeed(job, cached=True)
        elif broken:
            reason = "blobs are missing"
            self._end(job, StepInterrupted(**self._about(job), why="inputs", reason=reason, broken=broken))
        else:
            job.stage = Stage.CLAIMED
            self._commit({}, [event_message(StepStarted(**self._about(job), key=job.key, worker=self.name))])

    def _gone(self, value: str | tuple[str, ...]) -> tuple[str, ...]:
        digests = (value,) if isinstance(value, str) else value
        return tuple(digest for digest in digests if digest in self._results.lost)

    def _succeed(self, job: Job, *, cached: bool) -> None:
        if job.accepted is not None and self._wanted(job):
            outputs, metrics = {"out": job.accepted.digest}, job.accepted.metrics
            about = self._about(job)
            self._end(job, StepSucceeded(**about, key=job.key, outputs=outputs, metrics=metrics, cached=cached))
        else:
            self._end(job, None)

    def _end(self, job: Job, outcome: Event | None) -> None:
        self.jobs.remove(job)
        about = {"run_id": job.command.run_id, "step_id": job.command.step_id, "attempt": job.command.attempt}
        left = StepLeft(pool=POOL, partition=job.partition.number, made=isinstance(outcome, StepSucceeded), **about)
        self._commit(self._mark(job.partition), [*([event_message(outcome)] if outcome else []), place_message(left)])

    def _mark(self, partition: Partition) -> dict[Partition, int]:
        """Where the group goes on: at the oldest command in flight."""
        still = [job.offset for job in self.jobs if job.partition == partition]
        return {partition: min(still, default=self._read_to[partition])}

    def _commit(self, offsets: dict[Partition, int], out: list[Message]) -> None:
        """Move the group and tell; fenced, all that this worker has is void."""
        try:
            self._consumer.commit(offsets, out)
        except FencedError:
            self.jobs.clear()
            self._owned = frozenset()

    def _wanted(self, job: Job) -> bool:
        return not any(cancel.means(job.command) for cancel in self._cancels)

    def _about(self, job: Job) -> dict[str, object]:
        command = job.command
        about = {"run_id": command.run_id, "step_id": command.step_id, "attempt": command.attempt}
        return {**about, "at_s": self._clock_s()}
