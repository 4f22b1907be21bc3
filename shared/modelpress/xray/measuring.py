"""All candidates measured in the same rounds, batch by batch, as far as the budget reaches."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from modelpress.graph.packages.session import Session
from modelpress.measure.rounds import DISTURBED_PER_S, NOISY, Call, Rounds, ratio, take_turns
from modelpress.report import format as fmt
from modelpress.xray.budget import FEW_ROUNDS, MEASURED_SHARE, SETTLED_S, Clock, affordable, needed_s
from modelpress.xray.findings import Latency, Skipped

Say = Callable[[str], None]


@dataclass
class Measured:
    """``latencies`` by candidate's name, the ``batches`` measured, why not more, and what speaks against trust."""

    latencies: dict[str, list[Latency]] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    noisy: list[str] = field(default_factory=list)


def measure(sessions: Mapping[str, Session], batches: Sequence[int], clock: Clock, say: Say) -> Measured:
    """Time ``sessions``, the dense model's first, at each of ``batches``, ascending; all take turns."""
    found = Measured()
    for i, batch in enumerate(batches):
        calls = {name: bind(session, batch) for name, session in sessions.items()}
        calls_s = {name: _expected_s(name, session, batch, found) for name, session in sessions.items()}
        seconds = clock.left_s / (len(batches) - i)
        names = affordable(calls_s, seconds)
        if i and len(names) < min(2, len(sessions)):
            found.warnings.append(_too_long(batch, needed_s(calls_s.values()), clock))
            continue
        names = names if len(names) > 1 else list(sessions)[:2]
        say(f"measuring {len(names)} candidates at batch {batch}")
        rounds = take_turns({n: calls[n] for n in names}, min(seconds, SETTLED_S), FEW_ROUNDS)
        _record(found, rounds, batch)
        left_out = [name for name in sessions if name not in names]
        found.skipped += [Skipped(f"{name} at batch {batch}", _why(clock)) for name in left_out]
    return found


def bind(session: Session, batch: int) -> Call:
    """A call of ``session`` on ``batch`` random samples; times do not depend on the values."""
    inputs = session.examples(batch)
    return lambda: session(*inputs)


def _expected_s(name: str, session: Session, batch: int, found: Measured) -> float:
    """From what it took at a smaller batch, of which a larger one takes no longer a sample."""
    known = found.latencies.get(name)
    return known[-1].median_ms / 1e3 * batch / known[-1].batch if known else once_s(session, batch)


def once_s(session: Session, batch: int) -> float:
    """The second of two calls."""
    call = bind(session, batch)
    call()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _record(found: Measured, rounds: Rounds, batch: int) -> None:
    dense = next(iter(rounds.sides.values()))
    for name, side in rounds.sides.items():
        gain = ratio(dense, side)
        latency = Latency(batch, dense.median_ms / gain.median, gain.median, gain.low, gain.high, side.noise)
        found.latencies.setdefault(name, []).append(latency)
    found.batches.append(batch)
    found.noisy += told_noise(rounds, batch)


def told_noise(rounds: Rounds, batch: int) -> list[str]:
    """Why the rounds cannot be trusted, if so."""
    if rounds.noise <= NOISY and rounds.preemptions_per_s <= DISTURBED_PER_S:
        return []
    return [
        f"at batch {batch} rounds spread by {rounds.noise:.0%} of their median, and other work took a processor "
        f"{rounds.preemptions_per_s:.0f} times a second"
    ]


def _too_long(batch: int, needed: float, clock: Clock) -> str:
    more = math.ceil((clock.budget_s - clock.left_s + needed) / MEASURED_SHARE / 10) * 10
    return (
        f"batch {batch} was not measured: it takes about {fmt.duration(needed)}, and {fmt.duration(clock.left_s)} of "
        f"the budget of {clock.budget_s:g} s were left; try --budget-s {more}"
    )


def _why(clock: Clock) -> str:
    return f"measuring it there does not fit the budget of {clock.budget_s:g} s; raise it with --budget-s"
