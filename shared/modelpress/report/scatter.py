"""Accuracy against a cost on a logarithmic axis, as inline SVG: up and to the left is better."""

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
LETTER, LINE = 7.0, 14.0
"""Estimated width of a letter and height of a line of a label, for keeping labels apart."""


@dataclass(frozen=True)
class Point:
    """One model: its cost (bytes or ms, > 0), its accuracy in percent, and the role that colours it."""

    label: str
    role: str
    cost: float
    accuracy: float


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

    def outside(self) -> float:
        """How far it sticks out of the plot."""
        return max(0.0, LEFT - self.left) + max(0.0, self.right - WIDTH) + max(0.0, self.bottom - HEIGHT + BOTTOM)


def scatter(title: str, points: Sequence[Point], show: Callable[[float], str], floor: float | None = None) -> Markup:
    """A plot of ``points``; ``show`` formats a cost; ``floor`` (percent) is drawn as the least accuracy allowed."""
    x, x_ticks = _log_axis([p.cost for p in points])
    y, y_ticks = _linear_axis([p.accuracy for p in points] + ([floor] if floor is not None else []))
    label = f"{title}: " + "; ".join(f"{p.label} {show(p.cost)}, {p.accuracy:.2f} %" for p in points)
    return el(
        "svg",
        *_grid(x, x_ticks, y, y_ticks, show),
        el("text", title, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 6, class_="axis", text_anchor="middle"),
        *([] if floor is None else _floor(y(floor), floor)),
        *_arrow(points, x, y),
        *_marks(points, x, y, show),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        class_="scatter",
        role="img",
        aria_label=label,
    )


def _grid(
    x: Scale, x_ticks: Sequence[float], y: Scale, y_ticks: Sequence[float], show: Callable[[float], str]
) -> Iterator[Markup]:
    for tick in y_ticks:
        yield el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{y(tick):.1f}", y2=f"{y(tick):.1f}", class_="grid")
        yield el("text", f"{tick:g} %", x=LEFT - 7, y=f"{y(tick) + 4:.1f}", class_="tick", text_anchor="end")
    for tick in x_ticks:
        name = re.sub(r"(\.\d*?)0+(?= |$)", r"\1", show(tick)).replace(". ", " ")
        yield el("line", x1=f"{x(tick):.1f}", x2=f"{x(tick):.1f}", y1=TOP, y2=HEIGHT - BOTTOM, class_="grid")
        yield el("text", name, x=f"{x(tick):.1f}", y=HEIGHT - BOTTOM + 17, class_="tick", text_anchor="middle")


def _floor(y: float, accuracy: float) -> list[Markup]:
    return [
        el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{y:.1f}", y2=f"{y:.1f}", class_="floor"),
        el("text", f"gate: {accuracy:.2f} %", x=WIDTH - RIGHT - 2, y=f"{y + 14:.1f}", class_="tick", text_anchor="end"),
    ]


def _marks(points: Sequence[Point], x: Scale, y: Scale, show: Callable[[float], str]) -> Iterator[Markup]:
    """Points with labels, each label on the side where it covers the least of what is drawn already."""
    taken = [Box(x(p.cost) - 8, y(p.accuracy) - 8, x(p.cost) + 8, y(p.accuracy) + 8) for p in points]
    for p in points:
        detail = f"{show(p.cost)}, {p.accuracy:.2f} %"
        width = LETTER * max(len(p.label), len(detail))
        places = _label_places(x(p.cost), y(p.accuracy), width)
        box = min(places, key=lambda b: 50 * b.outside() + sum(b.overlap(other) for other in taken))
        taken.append(box)
        anchor = "end" if box.right < x(p.cost) else "start" if box.left > x(p.cost) else "middle"
        at = {"end": box.right, "start": box.left, "middle": (box.left + box.right) / 2}[anchor]
        tip = el("title", f"{p.label}: {detail}")
        yield el(
            "g",
            el("circle", tip, cx=f"{x(p.cost):.1f}", cy=f"{y(p.accuracy):.1f}", r=7),
            el("text", p.label, x=f"{at:.1f}", y=f"{box.top + 11:.1f}", class_="name", text_anchor=anchor),
            el("text", detail, x=f"{at:.1f}", y=f"{box.top + 25:.1f}", class_="tick", text_anchor=anchor),
            class_=f"mark {p.role}",
        )


def _label_places(x: float, y: float, width: float) -> list[Box]:
    """Right, left, below, above, in order of preference."""
    height = 2 * LINE
    return [
        Box(x + 12, y - LINE, x + 12 + width, y + LINE),
        Box(x - 12 - width, y - LINE, x - 12, y + LINE),
        Box(x - width / 2, y + 11, x + width / 2, y + 11 + height),
        Box(x - width / 2, y - 11 - height, x + width / 2, y - 11),
    ]


def _arrow(points: Sequence[Point], x: Scale, y: Scale) -> list[Markup]:
    ends = {p.role: p for p in points}
    if not {"original", "result"} <= set(ends):
        return []
    a, b = ends["original"], ends["result"]
    places = {"x1": x(a.cost), "y1": y(a.accuracy), "x2": x(b.cost), "y2": y(b.accuracy)}
    return [el("line", class_="arrow", **{name: f"{value:.1f}" for name, value in places.items()})]


def _log_axis(values: Sequence[float]) -> tuple[Scale, list[float]]:
    """Position of a value, and some three to six round ticks."""
    low, high = math.log10(min(values)), math.log10(max(values))
    pad = max(0.1, 0.16 * (high - low))
    low, high = low - pad, high + pad
    span = WIDTH - LEFT - RIGHT
    ticks: list[float] = []
    for steps in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)):
        all_ticks = (k * 10.0**d for d in range(math.floor(low), math.ceil(high) + 1) for k in steps)
        ticks = [t for t in all_ticks if low <= math.log10(t) <= high]
        if len(ticks) >= 3:
            break
    return (lambda v: LEFT + span * (math.log10(v) - low) / (high - low)), ticks


def _linear_axis(values: Sequence[float]) -> tuple[Scale, list[float]]:
    """Position of a percentage, and three to six round ticks."""
    low, high = min(values), max(values)
    pad = max(0.25, 0.25 * (high - low))
    low, high = max(0.0, low - pad), min(100.0 + 0.1 * pad, high + pad)
    step = next(s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if (high - low) / s <= 6)
    ticks = [round(k * step, 6) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
    span = HEIGHT - TOP - BOTTOM
    return (lambda v: TOP + span * (high - v) / (high - low)), ticks
