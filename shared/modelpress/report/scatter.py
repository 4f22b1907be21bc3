"""Accuracy against a cost on a logarithmic axis, as inline SVG: up and to the left is better."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelpress.report.markup import Markup, el

WIDTH, HEIGHT = 520, 330
LEFT, RIGHT, TOP, BOTTOM = 58, 22, 20, 48


@dataclass(frozen=True)
class Point:
    """One model: its cost (bytes or ms, > 0), its accuracy in percent, and the role that colours it."""

    label: str
    role: str
    cost: float
    accuracy: float


def scatter(title: str, points: Sequence[Point], show: Callable[[float], str], floor: float | None = None) -> Markup:
    """A plot of ``points``; ``show`` formats a cost; ``floor`` (percent) is drawn as the least accuracy allowed."""
    x, x_ticks = _log_axis([p.cost for p in points])
    y, y_ticks = _linear_axis([p.accuracy for p in points] + ([floor] if floor is not None else []))
    grid = [el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{y(t):.1f}", y2=f"{y(t):.1f}", class_="grid") for t in y_ticks]
    grid += [el("line", x1=f"{x(t):.1f}", x2=f"{x(t):.1f}", y1=TOP, y2=HEIGHT - BOTTOM, class_="grid") for t in x_ticks]
    names = [el("text", f"{t:g} %", x=LEFT - 8, y=f"{y(t) + 4:.1f}", class_="tick", text_anchor="end") for t in y_ticks]
    names += [el("text", show(t), x=f"{x(t):.1f}", y=HEIGHT - BOTTOM + 18, class_="tick", text_anchor="middle") for t in x_ticks]
    axis = el("text", title, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 8, class_="axis", text_anchor="middle")
    limit = [] if floor is None else _floor(y(floor), floor)
    marks = [_mark(p, x(p.cost), y(p.accuracy), show) for p in points]
    arrow = _arrow(points, x, y)
    label = f"{title}: " + "; ".join(f"{p.label} {show(p.cost)}, {p.accuracy:.2f} %" for p in points)
    return el(
        "svg", *grid, *names, axis, *limit, *arrow, *marks,
        viewBox=f"0 0 {WIDTH} {HEIGHT}", class_="scatter", role="img", aria_label=label,
    )  # fmt: skip


def _floor(y: float, accuracy: float) -> list[Markup]:
    note = f"gate: {accuracy:.2f} %"
    return [
        el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{y:.1f}", y2=f"{y:.1f}", class_="floor"),
        el("text", note, x=WIDTH - RIGHT - 4, y=f"{y + 14:.1f}", class_="tick", text_anchor="end"),
    ]


def _mark(point: Point, x: float, y: float, show: Callable[[float], str]) -> Markup:
    right = x > WIDTH * 0.62
    at, anchor = (x - 12, "end") if right else (x + 12, "start")
    return el(
        "g",
        el("circle", el("title", f"{point.label}: {show(point.cost)}, {point.accuracy:.2f} %"), cx=f"{x:.1f}", cy=f"{y:.1f}", r=7),
        el("text", point.label, x=f"{at:.1f}", y=f"{y - 2:.1f}", class_="name", text_anchor=anchor),
        el("text", f"{show(point.cost)}, {point.accuracy:.2f} %", x=f"{at:.1f}", y=f"{y + 12:.1f}", class_="tick", text_anchor=anchor),
        class_=f"mark {point.role}",
    )


def _arrow(points: Sequence[Point], x: Callable[[float], float], y: Callable[[float], float]) -> list[Markup]:
    ends = {p.role: p for p in points}
    if not {"original", "result"} <= set(ends):
        return []
    a, b = ends["original"], ends["result"]
    line = {"x1": f"{x(a.cost):.1f}", "y1": f"{y(a.accuracy):.1f}", "x2": f"{x(b.cost):.1f}", "y2": f"{y(b.accuracy):.1f}"}
    return [el("line", class_="arrow", **line)]


def _log_axis(values: Sequence[float]) -> tuple[Callable[[float], float], list[float]]:
    """Position of a value, and ticks at 1, 2, 5 of each decade (only at decades when that is too many)."""
    low, high = math.log10(min(values)), math.log10(max(values))
    pad = max(0.12, 0.14 * (high - low))
    low, high = low - pad, high + pad
    span = WIDTH - LEFT - RIGHT
    steps = (1, 2, 5) if high - low < 2 else (1,)
    ticks = [k * 10.0**d for d in range(math.floor(low), math.ceil(high) + 1) for k in steps]
    return (lambda v: LEFT + span * (math.log10(v) - low) / (high - low)), [t for t in ticks if low <= math.log10(t) <= high]


def _linear_axis(values: Sequence[float]) -> tuple[Callable[[float], float], list[float]]:
    """Position of a percentage, and three to six round ticks."""
    low, high = min(values), max(values)
    pad = max(0.25, 0.25 * (high - low))
    low, high = low - pad, high + pad
    step = next(s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if (high - low) / s <= 6)
    first = math.ceil(low / step)
    ticks = [round(k * step, 6) for k in range(first, math.floor(high / step) + 1)]
    span = HEIGHT - TOP - BOTTOM
    return (lambda v: TOP + span * (high - v) / (high - low)), ticks
