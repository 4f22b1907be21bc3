"""Timing in rounds: every side is called some times in each round, in turn, so that drift meets all of them alike.

A side's latency is the median over the rounds of each round's fastest call: what else the machine does only adds time.
A ratio compares the means of whole turns. On a busy machine fastest calls would flatter the faster side: a call of a
millisecond fits between two slices of other work, one of a hundred never does. (A ResNet-50 against a quarter of its
width in int8, two cores at a load of 7: 94 to 139 times by fastest calls, 19 to 21 by means; 19.6 at a load of 2.)
"""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Call = Callable[[], object]
Floats = NDArray[np.float64]

WARM_UP_CALLS = 5
WARM_UP_S = 1.0
TURN_S = 0.01
"""A side's turn lasts about as long when calls are short..."""
LONG_TURN_S = 0.25
"""...and may last as long to hold `CALLS`, so that an undisturbed one is among them."""
CALLS = 5
MIN_ROUNDS = 7
RESAMPLES = 1000
NOISY = 0.1
"""A spread beyond which a measurement should be repeated on a quieter machine."""
DISTURBED_PER_S = 50.0
"""Preemptions a second beyond which it should be, too: under steady load rounds are slow but spread little."""


@dataclass(frozen=True)
class Timing:
    """``calls_ms`` [rounds * calls] of one side, and ``rounds_ms`` [rounds], the fastest of each round's calls."""

    calls_ms: Floats
    rounds_ms: Floats

    @property
    def means_ms(self) -> Floats:
        """Mean call of each round [rounds]."""
        means: Floats = self.calls_ms.reshape(len(self.rounds_ms), -1).mean(axis=1)
        return means

    @property
    def median_ms(self) -> float:
        """Over the rounds: the latency of an undisturbed call."""
        return float(np.median(self.rounds_ms))

    @property
    def noise(self) -> float:
        """Interquartile range of the rounds over their median."""
        low, high = np.percentile(self.rounds_ms, [25, 75])
        return float(high - low) / self.median_ms

    def percentile_ms(self, share: float) -> float:
        """Of single calls; ``share`` in per cent."""
        return float(np.percentile(self.calls_ms, share))


@dataclass(frozen=True)
class Rounds:
    """``sides`` by name, and how often a second other work took a processor from this process meanwhile."""

    sides: Mapping[str, Timing]
    preemptions_per_s: float

    @property
    def noise(self) -> float:
        """Of the worse side."""
        return max(side.noise for side in self.sides.values())


@dataclass(frozen=True)
class Ratio:
    """Median of ratios within rounds and the 95 % interval of that median."""

    median: float
    low: float
    high: float


def take_turns(sides: Mapping[str, Call], seconds: float, min_rounds: int = MIN_ROUNDS) -> Rounds:
    """Time every side for about ``seconds`` in all, at least ``min_rounds`` rounds; their order turns each round."""
    calls = {name: _warmed_up(call) for name, call in sides.items()}
    samples: dict[str, list[Floats]] = {name: [] for name in sides}
    names = list(sides)
    start, preempted = time.perf_counter(), _preemptions()
    stop = start + seconds
    with no_garbage_collection():
        while len(samples[names[0]]) < min_rounds or time.perf_counter() < stop:
            for name in names:
                samples[name].append(_turn(sides[name], calls[name]))
            names.append(names.pop(0))
    rate = (_preemptions() - preempted) / (time.perf_counter() - start)
    return Rounds({name: _timing(turns) for name, turns in samples.items()}, rate)


def ratio(reference: Timing, other: Timing, seed: int = 0) -> Ratio:
    """How many times ``reference`` takes as long as ``other``, round by round; the interval is a bootstrap's."""
    by_round = reference.means_ms / other.means_ms
    generator = np.random.default_rng(seed)
    drawn = generator.choice(by_round, size=(RESAMPLES, len(by_round)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return Ratio(float(np.median(by_round)), float(low), float(high))


def _timing(turns: list[Floats]) -> Timing:
    return Timing(np.concatenate(turns), np.array([turn.min() for turn in turns]))


def _preemptions() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def calls_a_turn(call_s: float) -> int:
    """How many calls of that length fill a turn."""
    return max(1, round(TURN_S / call_s), min(CALLS, round(LONG_TURN_S / call_s)))


def _warmed_up(call: Call) -> int:
    """Warm up, then see how many calls fill a turn."""
    warm = time.perf_counter() + WARM_UP_S
    times = [_turn(call, 1)]
    while len(times) < 2 * WARM_UP_CALLS and time.perf_counter() < warm:
        times.append(_turn(call, 1))
    return calls_a_turn(float(np.median(times[len(times) // 2 :])) / 1e3)


def _turn(call: Call, calls: int) -> Floats:
    times = np.empty(calls)
    for i in range(calls):
        start = time.perf_counter_ns()
        call()
        times[i] = (time.perf_counter_ns() - start) / 1e6
    return times


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Garbage is collected before, and not within."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
