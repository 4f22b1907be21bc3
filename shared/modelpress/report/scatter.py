"""Accuracy against a cost on a logarithmic axis, as inline SVG: up and to the left is better."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from modelpress.report.markup import Markup, el
from modelpress.report.plot import (
    BOTTOM,
    HEIGHT,
    LEFT,
    LETTER,
    LINE,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    grid,
    log_axis,
    percent_axis,
    place_labels,
)


@dataclass(frozen=True)
class Point:
    """One model: its cost (bytes or ms, > 0), its accuracy in percent, and the role that colours it."""

    label: str
    role: str
    cost: float
    accuracy: float


def scatter(title: str, points: Sequence[Point], show: Callable[[float], str], floor: float | None = None) -> Markup:
    """A plot of ``points``; ``show`` formats a cost; ``floor`` (percent) is drawn as the least accuracy allowed."""
    x = log_axis([p.cost for p in points], LEFT, WIDTH - RIGHT, show)
    accuracies = [p.accuracy for p in points] + ([floor] if floor is not None else [])
    y = percent_axis(accuracies, HEIGHT - BOTTOM, TOP)
    label = f"{title}: " + "; ".join(f"{p.label} {show(p.cost)}, {p.accuracy:.2f} %" for p in points)
    return el(
        "svg",
        *grid(x, y),
        el("text", title, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 6, class_="axis", text_anchor="middle"),
        *([] if floor is None else _floor(y.scale(floor), floor)),
        *_arrow(points, x, y),
        *_marks(points, x, y),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        class_="scatter",
        role="img",
        aria_label=label,
    )


def _floor(y: float, accuracy: float) -> list[Markup]:
    return [
        el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{y:.1f}", y2=f"{y:.1f}", class_="floor"),
        el("text", f"gate: {accuracy:.2f} %", x=WIDTH - RIGHT - 2, y=f"{y + 14:.1f}", class_="tick", text_anchor="end"),
    ]


def _marks(points: Sequence[Point], x: Axis, y: Axis) -> Iterator[Markup]:
    details = [f"{x.show(p.cost)}, {p.accuracy:.2f} %" for p in points]
    places = [(x.scale(p.cost), y.scale(p.accuracy)) for p in points]
    sizes = [(LETTER * max(len(p.label), len(d)), 2 * LINE) for p, d in zip(points, details, strict=True)]
    boxes = place_labels(places, sizes)
    for p, detail, (at_x, at_y), box in zip(points, details, places, boxes, strict=True):
        anchor = "end" if box.right < at_x else "start" if box.left > at_x else "middle"
        at = {"end": box.right, "start": box.left, "middle": (box.left + box.right) / 2}[anchor]
        tip = el("title", f"{p.label}: {detail}")
        yield el(
            "g",
            el("circle", tip, cx=f"{at_x:.1f}", cy=f"{at_y:.1f}", r=7),
            el("text", p.label, x=f"{at:.1f}", y=f"{box.top + 11:.1f}", class_="name", text_anchor=anchor),
            el("text", detail, x=f"{at:.1f}", y=f"{box.top + 25:.1f}", class_="tick", text_anchor=anchor),
            class_=f"mark {p.role}",
        )


def _arrow(points: Sequence[Point], x: Axis, y: Axis) -> list[Markup]:
    ends = {p.role: p for p in points}
    if not {"original", "result"} <= set(ends):
        return []
    a, b = ends["original"], ends["result"]
    places = {"x1": x.scale(a.cost), "y1": y.scale(a.accuracy), "x2": x.scale(b.cost), "y2": y.scale(b.accuracy)}
    return [el("line", class_="arrow", **{name: f"{value:.1f}" for name, value in places.items()})]
