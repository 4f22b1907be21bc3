"""The workbench of a host: what waits for cores and a child, and what runs."""

from __future__ import annotations

import math
from collections import deque

from modelpress.worker.attempt import Attempt
from modelpress.worker.children import Children
from modelpress.worker.process import ChildDiedError, ChildProcess
from modelpress.worker.protocol import Done, Failed, Reply, StoreAddress

PATIENCE_S = 0.05
"""A step that waits so long for a child gets a new one: shorter steps are done sooner by those that there are."""
_FLUSH_S = 0.01
"""How soon to look again whether a full pipe has room."""

Said = Reply | ChildDiedError


class Bench:
    """Runs attempts in the order in which they came, as many at a time as ``cores`` have room for."""

    def __init__(self, children: Children, address: StoreAddress, cores: int) -> None:
        self._children = children
        self._address = address
        self._cores = cores
        self._queue: deque[Attempt] = deque()
        self._running: dict[ChildProcess, Attempt] = {}

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Whatever is here."""
        return (*self._running.values(), *self._queue)

    @property
    def running(self) -> tuple[Attempt, ...]:
        return tuple(self._running.values())

    @property
    def waiting(self) -> tuple[Attempt, ...]:
        return tuple(self._queue)

    def queue(self, attempt: Attempt) -> None:
        self._queue.append(attempt)

    def next(self) -> Attempt | None:
        """The attempt that can begin now."""
        return self._queue[0] if self._children.free and self._fitting() else None

    def begin(self, now_s: float) -> None:
        """Give `next` to a child."""
        attempt, child = self._queue.popleft(), self._children.take()
        attempt.child, attempt.started_s, attempt.active_s = child, now_s, now_s
        self._running[child] = attempt
        child.send(attempt.request(self._address))

    def grow(self, now_s: float) -> None:
        """Start the children that are missed, once the first attempt has waited for one long enough."""
        if self._grow_s() <= now_s:
            for _ in range(self._lacking()):
                self._children.start()

    def hear(self) -> list[tuple[Attempt, Said]]:
        """What was said about which attempt. Those that ended are no longer here.

        Where a child ends that was to be, its likes would too: the first that waits is told, and waits no longer.
        """
        for child in self._running:
            child.flush()
        told = ((self._concerned(child, said), said) for child, said in self._children.hear())
        return [(attempt, said) for attempt, said in told if attempt is not None]

    def drop(self, attempt: Attempt) -> None:
        """Have done with ``attempt`` at once, and with the child that runs it."""
        if attempt.child is None:
            self._queue.remove(attempt)
        else:
            del self._running[attempt.child]
            self._children.replace(attempt.child)

    def due_s(self, now_s: float) -> float:
        """When something is to be done although no child has said anything."""
        sending = any(child.sending for child in self._running)
        return min(now_s + _FLUSH_S if sending else math.inf, self._grow_s())

    def _concerned(self, child: ChildProcess, said: Said) -> Attempt | None:
        attempt = self._running.get(child)
        if isinstance(said, ChildDiedError):
            self._running.pop(child, None)
            return self._queue.popleft() if child.facts is None and self._queue else attempt
        if attempt is not None and isinstance(said, Done | Failed):
            del self._running[child]
            if isinstance(said, Failed) and said.fault == "kernel":
                # Whatever the kernel left behind in the process must not reach the next step.
                self._children.replace(child)
            else:
                self._children.put(child)
        return attempt

    def _fitting(self) -> int:
        """How many of the first that wait have room beside what runs."""
        free = self._cores - sum(attempt.cores for attempt in self._running.values())
        for count, attempt in enumerate(self._queue):
            free -= attempt.cores
            if free < 0:
                return count
        return len(self._queue)

    def _lacking(self) -> int:
        """How many children would have work at once if they were there."""
        children = self._children
        return max(0, min(self._fitting() - children.starting - children.free, children.missing))

    def _grow_s(self) -> float:
        """When more children are to be started; infinite while none is missed."""
        if not self._queue or not self._lacking():
            return math.inf
        return self._queue[0].read_s + (PATIENCE_S if len(self._children) else 0.0)
