"""What plots share: axes with round ticks, and labels that do not cover each other."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from modelpress.report.markup import Markup, el

Scale = Callable[[float], float]
"""From a value to a position on the plot."""

WIDTH, HEIGHT = 400, 300
LEFT, RIGHT, TOP, BOTTOM = 54, 14, 14, 46
LETTER, LINE = 7.2, 14.0
"""Estimated width of a letter and height of a line of a label, for keeping labels apart."""

RADII = (11.0, 16.0, 26.0, 38.0, 52.0, 70.0, 90.0, 115.0, 145.0, 180.0)
ANGLES = tuple(math.radians(a) for a in (0, 180, 90, 270, 30, 330, 150, 210, 60, 300, 120, 240))
"""Where a label is tried, in order: right of the point, left, below, above, between; then farther away."""


@dataclass(frozen=True)
class Box:
    """A rectangle on the plot."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Box) -> float:
        """Area in common."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height)

    def outside(self, height: float = HEIGHT) -> float:
        """How far it sticks out of the plot."""
        beyond = (LEFT - self.left, self.right - WIDTH, 2 - self.top, self.bottom - height + BOTTOM)
        return sum(max(0.0, distance) for distance in beyond)

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """The point of the box next to (x, y)."""
        return min(max(x, self.left), self.right), min(max(y, self.top), self.bottom)


@dataclass(frozen=True)
class Axis:
    """Where values lie between two positions on the plot, and the values that are named."""

    scale: Scale
    ticks: Sequence[float]
    show: Callable[[float], str]


def grid(x: Axis, y: Axis, height: float = HEIGHT) -> Iterator[Markup]:
    """The lines of both axes' ticks with their names."""
    for tick in y.ticks:
        at = y.scale(tick)
        yield el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{at:.1f}", y2=f"{at:.1f}", class_="grid")
        yield el("text", _brief(y.show(tick)), x=LEFT - 7, y=f"{at + 4:.1f}", class_="tick", text_anchor="end")
    for tick in x.ticks:
        at, name = x.scale(tick), _brief(x.show(tick))
        inside = min(at, WIDTH - LETTER * len(name) / 2)
        yield el("line", x1=f"{at:.1f}", x2=f"{at:.1f}", y1=TOP, y2=height - BOTTOM, class_="grid")
        yield el("text", name, x=f"{inside:.1f}", y=height - BOTTOM + 17, class_="tick", text_anchor="middle")


def _brief(tick: str) -> str:
    """Without the zeros that significant figures end in: ``30.0 ms`` is ``30 ms``."""
    return re.sub(r"(\.\d*?)0+(?= |$)", r"\1", tick).replace(". ", " ")


def place_labels(
    points: Sequence[tuple[float, float]], sizes: Sequence[tuple[float, float]], height: float = HEIGHT
) -> list[Box]:
    """A box of each size (width, height) near its point, clear of the points and of each other where there is room."""
    taken = [Box(x - 8, y - 8, x + 8, y + 8) for x, y in points]
    boxes = []
    for (x, y), size in zip(points, sizes, strict=True):
        places = [_at(x, y, size, radius, angle) for radius in RADII for angle in ANGLES]
        costs = [50 * b.outside(height) + sum(b.overlap(other) for other in taken) for b in places]
        box = places[costs.index(min(costs))]
        taken.append(box)
        boxes.append(box)
    return boxes


def _at(x: float, y: float, size: tuple[float, float], radius: float, angle: float) -> Box:
    width, height = size
    middle_x = x + math.cos(angle) * (radius + width / 2)
    middle_y = y + math.sin(angle) * (radius + height / 2)
    return Box(middle_x - width / 2, middle_y - height / 2, middle_x + width / 2, middle_y + height / 2)


def log_axis(values: Sequence[float], start: float, end: float, show: Callable[[float], str]) -> Axis:
    """``values`` (> 0) between ``start`` and ``end`` on a logarithmic axis, with some three to six round ticks."""
    low, high = math.log10(min(values)), math.log10(max(values))
    pad = max(0.1, 0.16 * (high - low))
    low, high = low - pad, high + pad
    return Axis(
        lambda v: start + (end - start) * (math.log10(v) - low) / (high - low), tuple(_log_ticks(low, high)), show
    )


def _log_ticks(low: float, high: float) -> list[float]:
    """Round values between ``10**low`` and ``10**high``, as many as a short axis can name."""
    ticks: list[float] = []
    for steps in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)):
        all_ticks = (k * 10.0**d for d in range(math.floor(low), math.ceil(high) + 1) for k in steps)
        ticks = [t for t in all_ticks if low <= math.log10(t) <= high]
        if len(ticks) >= 3:
            break
    return ticks[:: math.ceil(len(ticks) / 6)]


def percent_axis(values: Sequence[float], start: float, end: float) -> Axis:
    """Percentages between ``start`` and ``end``, with three to six round ticks."""
    low, high = min(values), max(values)
    pad = max(0.25, 0.25 * (high - low))
    low, high = max(0.0, low - pad), min(100.0 + 0.1 * pad, high + pad)
    step = next(s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if (high - low) / s <= 6)
    ticks = tuple(round(k * step, 6) for k in range(math.ceil(low / step), math.floor(high / step) + 1))
    return Axis(lambda v: start + (end - start) * (v - low) / (high - low), ticks, lambda v: f"{v:g} %")
