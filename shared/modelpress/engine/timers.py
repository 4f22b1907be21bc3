"""What a coordinator waits for: leases to be renewed, pauses to end. Kept in memory only.

Invariant: a deadline is counted from when *this* coordinator heard of it, by its own monotonic clock. So its absence
    expires no lease, and no clock that is set back or ahead matters.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

from modelpress.engine.events import StepLeft
from modelpress.engine.state import RunState, StepStatus


@dataclass(frozen=True)
class Due:
    """The deadline of an attempt has passed: of its lease, or of the pause before it."""

    run_id: str
    step_id: str
    attempt: int
    what: Literal["lease", "pause"]


class Timers:
    """``lease_s`` is how long a granted or running attempt may be silent."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._deadlines: dict[tuple[str, str], tuple[float, Due]] = {}
        self._leaving: dict[StepLeft, float] = {}

    def follow(self, state: RunState, step_id: str, now_s: float) -> None:
        """Set, begin anew or drop the deadline of a step as its state asks, on any sign of life."""
        step = state.steps[step_id]
        out = step.status is StepStatus.RUNNING or (step.status is StepStatus.READY and step.partition is not None)
        paused = step.status is StepStatus.WAITING and step.backoff_s > 0
        if state.status.final or not (out or paused):
            self._deadlines.pop((state.run_id, step_id), None)
            return
        due = Due(state.run_id, step_id, step.attempt, "lease" if out else "pause")
        known = self._deadlines.get((state.run_id, step_id))
        if paused and known is not None and known[1] == due:
            return
        self._deadlines[state.run_id, step_id] = (now_s + (self._lease_s if out else step.backoff_s), due)

    def follow_all(self, state: RunState, now_s: float) -> None:
        for step_id in state.steps:
            self.follow(state, step_id, now_s)

    def leave(self, word: StepLeft, now_s: float) -> None:
        """Give the worker of an attempt that is to stop a lease to say ``word`` itself."""
        self._leaving[word] = now_s + self._lease_s

    def renew(self, now_s: float) -> None:
        """Begin every lease anew: for a while nobody listened to signs of life."""
        for name, (_, due) in self._deadlines.items():
            if due.what == "lease":
                self._deadlines[name] = (now_s + self._lease_s, due)
        self._leaving = dict.fromkeys(self._leaving, now_s + self._lease_s)

    def passed(self, now_s: float) -> list[Due]:
        """What is due, each told once a lease."""
        found = [due for deadline_s, due in self._deadlines.values() if deadline_s <= now_s]
        for due in found:
            self._deadlines[due.run_id, due.step_id] = (now_s + self._lease_s, due)
        return found

    def gone(self, now_s: float) -> list[StepLeft]:
        """What workers should have said by now, each told once."""
        found = [word for word, deadline_s in self._leaving.items() if deadline_s <= now_s]
        for word in found:
            del self._leaving[word]
        return found

    def next_s(self) -> float:
        """When something is due next; infinity when nothing is waited for."""
        deadlines_s = itertools.chain(
            (deadline_s for deadline_s, _ in self._deadlines.values()), self._leaving.values()
        )
        return min(deadlines_s, default=math.inf)
