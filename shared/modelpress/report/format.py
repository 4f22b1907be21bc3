"""Figures as people read them; one place, so that terminal and page say the same."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime

MISSING = "–"

HEADLINES = (
    "chosen",
    "top1",
    "size_ratio",
    "top1_drop_points",
    "latency_ratio_b64",
    "latency_ratio_b1",
    "top1_validation",
    "size_bytes",
    "parameters",
    "layers_quantized",
    "agreement",
    "loss",
)
"""Metrics that tell most about a step, in the order in which they are shown."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Of the control characters all but the tab and the end of a line."""


def printable(text: str) -> str:
    """``text`` for a terminal, which would obey the control characters of a name or message that somebody made up.

    >>> printable("a" + chr(27) + "[2J")
    'a\\\\x1b[2J'
    """
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def size(n_bytes: float | None) -> str:
    """Decimal units, three significant figures.

    >>> size(57_344)
    '57.3 KB'
    """
    if n_bytes is None:
        return MISSING
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if n_bytes >= scale:
            return f"{significant(n_bytes / scale)} {unit}"
    return f"{n_bytes:.0f} B"


def count(n: float | None) -> str:
    """``174,000`` as such below a million, ``25.6 M`` and ``4.09 G`` above."""
    if n is None:
        return MISSING
    if n >= 1e9:
        return f"{significant(n / 1e9)} G"
    return f"{significant(n / 1e6)} M" if n >= 1e6 else f"{n:,.0f}"


def significant(value: float, digits: int = 3) -> str:
    """``digits`` significant figures without an exponent; whole numbers keep all of theirs.

    >>> significant(0.012345), significant(1234.5), significant(3.0)
    ('0.0123', '1,234', '3.00')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def metric(name: str, value: float, meaning: str = "") -> str:
    """A metric with its unit, told by its name, else by the start of its ``meaning``."""
    if "latency_ms" in name:
        return latency(value)
    for mark, show in (("size_bytes", size), ("_ratio", ratio), ("parameters", count), ("macs", count)):
        if mark in name:
            return show(value)
    if name.endswith("_points"):
        return f"{value:.2f}"
    in_percent = re.match(r"(reference_)?top\d", name) or meaning.startswith(("percent", "per cent"))
    return percent(value) if in_percent else plain(value)


def telling(names: Iterable[str], most: int) -> list[str]:
    """At most ``most`` of a step's metric names, the most telling first; those of a reference are left out."""
    own = [name for name in names if not name.startswith("reference_")]
    known = [name for name in HEADLINES if name in own]
    return [*known, *(name for name in own if name not in known)][:most]


def plain(value: float) -> str:
    """A metric of unknown unit: integers whole, others at four significant figures."""
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.1e}" if 0 < abs(value) < 1e-4 else significant(value, 4)


def compact(value: float) -> str:
    """At most one decimal, none for whole numbers."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.1f}"


def percent(value: float | None) -> str:
    """Percent with two decimals."""
    return MISSING if value is None else f"{value:.2f} %"


def ratio(value: float | None) -> str:
    return MISSING if value is None else f"{significant(value)}×"


def times(value: float, word: str) -> str:
    """``3.10× faster``; below 1 it says the opposite, and what is within half a percent is unchanged."""
    opposite = {"smaller": "larger", "faster": "slower", "fewer": "more"}
    if abs(value - 1) < 0.005:
        return "unchanged"
    return f"{ratio(value)} {word}" if value > 1 else f"{ratio(1 / value)} {opposite[word]}"


def latency(ms: float | None) -> str:
    if ms is None:
        return MISSING
    return f"{significant(ms)} ms" if ms >= 0.1 else f"{significant(1000 * ms)} µs"


def points(drop: float | None) -> str:
    """A change of accuracy in percentage points, signed from the reader's view: a drop of 0.2 is ``−0.20``."""
    if drop is None:
        return MISSING
    sign = "−" if drop > 0 else "+" if drop < 0 else "±"
    return f"{sign}{abs(drop):.2f} points"


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def moment(seconds_since_epoch: float) -> str:
    """UTC to the second, ``–`` for a time that never came."""
    if not seconds_since_epoch:
        return MISSING
    return datetime.fromtimestamp(seconds_since_epoch, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def short(digest: str) -> str:
    """The first twelve hex characters of a digest or key."""
    return digest.removeprefix("sha256:")[:12]
