"""How far the seconds that an x-ray may take reach: which candidates are built, and which are measured at a batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from modelpress.measure.rounds import calls_a_turn

MEASURED_SHARE = 0.85
"""Of the budget, by when all is built and measured. The layers' times and the page take the rest."""
LEAST_SHARE, MOST_SHARE = 0.1, 0.4
"""Of the budget that is kept for measuring while candidates are built."""
FEW_ROUNDS = 5
"""At the least: with fewer there is no interval to speak of."""
SETTLED_S = 8.0
"""At one batch; more time narrows the intervals no further than the machine's own noise."""


@dataclass(frozen=True)
class Clock:
    """The budget, running since ``started_s`` of ``now``."""

    budget_s: float
    started_s: float
    now: Callable[[], float] = time.perf_counter

    @classmethod
    def start(cls, budget_s: float) -> Clock:
        return cls(budget_s, time.perf_counter())

    @property
    def elapsed_s(self) -> float:
        return self.now() - self.started_s

    @property
    def left_s(self) -> float:
        """For measuring."""
        return max(0.0, MEASURED_SHARE * self.budget_s - self.elapsed_s)

    def may_build(self, expected_s: float, measuring_s: float) -> bool:
        """Whether something that takes so long ends in time for measurements that take about so long."""
        kept_s = min(max(measuring_s, LEAST_SHARE * self.budget_s), MOST_SHARE * self.budget_s)
        return expected_s + kept_s <= self.left_s


def round_s(call_s: float) -> float:
    """How long a side's turn takes, from the time of its call."""
    return call_s * calls_a_turn(call_s)


def affordable(calls_s: Mapping[str, float], seconds: float) -> list[str]:
    """The sides, in the order given, of which `FEW_ROUNDS` rounds and a warm-up can be had in ``seconds``."""
    chosen: list[str] = []
    total_s = 0.0
    for name, call_s in calls_s.items():
        total_s += call_s + FEW_ROUNDS * round_s(call_s)
        if total_s > seconds:
            break
        chosen.append(name)
    return chosen


def needed_s(calls_s: Iterable[float]) -> float:
    """What `affordable` wants for all sides."""
    return sum(call_s + FEW_ROUNDS * round_s(call_s) for call_s in calls_s)
