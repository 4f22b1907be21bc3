"""Who gets which step: ready steps are granted to free places, by priority and fair shares.

Invariant: the threads of what a place was granted never exceed its cores, but for one step that asks for more than
    any place has, which then has the place to itself.
Invariant: a step that measures shares its place with nothing.
Invariant: of steps with the same key one is out at a time; the others wait for it.
Invariant: what was granted is granted once an attempt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from modelpress.engine.events import (
    PlaceOffered,
    PlaceWithdrawn,
    PlaceWord,
    StepCommand,
    StepLeft,
    StepReady,
    StepWithdrawn,
)

StepName = tuple[str, str]
"""Run and step."""


@dataclass(frozen=True)
class Grant:
    """``command`` goes to ``partition`` of its pool."""

    command: StepCommand
    partition: int


@dataclass(frozen=True)
class Wait:
    """``command`` is held back while ``holder`` (``run/step``) makes the same."""

    command: StepCommand
    holder: str


@dataclass
class _Queue:
    """The ready steps of one run, in the order of the file."""

    priority: int
    order: float
    steps: dict[str, StepReady] = field(default_factory=dict)


class Dispatcher:
    """The places of one pool and what waits for them. `take` words, then ask for `grants`."""

    def __init__(self) -> None:
        self._cores: dict[int, int] = {}
        self._workers: dict[int, str] = {}
        self._queues: dict[str, _Queue] = {}
        self._out: dict[StepName, Grant] = {}
        self._shares: Counter[str] = Counter()
        """Threads that each run's granted steps use."""
        self._holders: dict[str, StepName] = {}
        self._held: dict[str, dict[StepName, StepReady]] = {}

    def take(self, word: PlaceWord) -> None:
        """Learn what ``word`` says. Said again, or about a superseded attempt, it changes nothing."""
        match word:
            case StepReady():
                self._ready(word)
            case StepWithdrawn():
                self._withdrawn(word)
            case PlaceOffered():
                self._cores[word.partition], self._workers[word.partition] = word.cores, word.worker
            case PlaceWithdrawn():
                if self._workers.get(word.partition) == word.worker:
                    del self._cores[word.partition], self._workers[word.partition]
            case StepLeft():
                grant = self._out.get((word.run_id, word.step_id))
                if grant and grant.command.attempt == word.attempt:
                    self._leave(grant, word.made)

    def restore(self, command: StepCommand, partition: int) -> None:
        """Count a step that is out, as the log says."""
        self._go_out(Grant(command, partition))

    def grants(self) -> Iterator[Grant | Wait]:
        """Grant as long as the next step fits; what is yielded counts as done."""
        while (ready := self._next()) is not None:
            command = ready.command
            holder = self._holders.get(command.key) if command.key else None
            if holder is not None and holder != (command.run_id, command.step_id):
                self._hold(ready)
                yield Wait(command, "/".join(holder))
                continue
            partition = self._place_for(command)
            if partition is None:
                return
            self._drop(command)
            grant = Grant(command, partition)
            self._go_out(grant)
            yield grant

    def out(self) -> tuple[Grant, ...]:
        """What is granted and has not left."""
        return tuple(self._out.values())

    def waiting(self) -> int:
        """Ready steps, those included that wait for another run's same step."""
        return sum(len(q.steps) for q in self._queues.values()) + sum(len(held) for held in self._held.values())

    def _ready(self, word: StepReady) -> None:
        name = (word.command.run_id, word.command.step_id)
        grant = self._out.get(name)
        if grant is not None:
            if grant.command.attempt >= word.command.attempt:
                return
            self._leave(grant)
        queue = self._queues.setdefault(name[0], _Queue(word.priority, word.order))
        known = queue.steps.get(name[1])
        if known is None or known.command.attempt < word.command.attempt:
            queue.steps[name[1]] = word
            key = known.command.key if known else ""
            if key != word.command.key and self._holders.get(key) == name:
                self._hand_on(key, made=True)

    def _withdrawn(self, word: StepWithdrawn) -> None:
        queue = self._queues.get(word.run_id)
        for ready in list(queue.steps.values()) if queue else []:
            command = ready.command
            if word.step_id in ("", command.step_id):
                self._drop(command)
                if self._holders.get(command.key) == (command.run_id, command.step_id):
                    self._hand_on(command.key, made=True)
        held = [name for names in self._held.values() for name in names]
        for name in held:
            if name[0] == word.run_id and word.step_id in ("", name[1]):
                self._unhold(name)

    def _next(self) -> StepReady | None:
        """The step whose turn it is: of the highest priority, of the run that uses least, of the oldest run."""
        if not self._queues:
            return None
        _, queue = min(self._queues.items(), key=lambda q: (-q[1].priority, self._shares[q[0]], q[1].order, q[0]))
        return next(iter(queue.steps.values()))

    def _place_for(self, command: StepCommand) -> int | None:
        """The place with most free cores among those where the step fits."""
        free = {partition: cores - self._used(partition) for partition, cores in self._cores.items()}
        fitting = [p for p in free if self._fits(command, p, free[p])]
        return max(fitting, key=lambda p: (free[p], -p), default=None)

    def _fits(self, command: StepCommand, partition: int, free_cores: int) -> bool:
        there = [grant.command for grant in self._out.values() if grant.partition == partition]
        if command.threads > (largest := max(self._cores.values())):
            return not there and self._cores[partition] == largest > 0
        together = not command.alone and not any(c.alone for c in there)
        return command.threads <= free_cores and (together or not there)

    def _used(self, partition: int) -> int:
        return sum(grant.command.threads for grant in self._out.values() if grant.partition == partition)

    def _go_out(self, grant: Grant) -> None:
        name = (grant.command.run_id, grant.command.step_id)
        self._out[name] = grant
        if grant.command.key:
            self._holders[grant.command.key] = name
        self._shares[name[0]] += grant.command.threads

    def _leave(self, grant: Grant, made: bool = False) -> None:
        command = grant.command
        name = (command.run_id, command.step_id)
        del self._out[name]
        self._shares[name[0]] -= command.threads
        if not self._shares[name[0]]:
            del self._shares[name[0]]
        if self._holders.get(command.key) == name:
            self._hand_on(command.key, made)

    def _hand_on(self, key: str, made: bool) -> None:
        """Who waited for ``key`` is ready: of a key whose result is there one after the other, since each is brief."""
        del self._holders[key]
        held = self._held.pop(key, {})
        if made and held:
            self._holders[key] = name = next(iter(held))
            self._ready(held.pop(name))
            if held:
                self._held[key] = held
            return
        for word in held.values():
            self._ready(word)

    def _hold(self, ready: StepReady) -> None:
        self._drop(ready.command)
        name = (ready.command.run_id, ready.command.step_id)
        self._held.setdefault(ready.command.key, {})[name] = ready

    def _unhold(self, name: StepName) -> None:
        for key in [key for key, held in self._held.items() if name in held]:
            del self._held[key][name]
            if not self._held[key]:
                del self._held[key]

    def _drop(self, command: StepCommand) -> None:
        queue = self._queues[command.run_id]
        del queue.steps[command.step_id]
        if not queue.steps:
            del self._queues[command.run_id]
