"""Latency against file size, both logarithmic, as inline SVG: down and to the left is better."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from modelpress.report import format as fmt
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
    Box,
    grid,
    log_axis,
    place_labels,
)
from modelpress.xray.findings import XRay
from modelpress.xray.sections.gains import Gain, fastest, gain

LONGEST_LABEL = 24
POINTS_AT_FULL_HEIGHT = 10
"""More candidates get a taller plot, so that each has room for its label."""


@dataclass(frozen=True)
class Point:
    """A candidate on the plot; ``low_ms`` and ``high_ms`` are the ends of its interval."""

    label: str
    role: str
    int8: bool
    ms: float
    low_ms: float
    high_ms: float
    size_bytes: int

    @property
    def detail(self) -> str:
        return f"{fmt.latency(self.ms)}, {fmt.size(self.size_bytes)}"


def pareto(xray: XRay, batch: int) -> Markup | None:
    """The plot of one batch size; None where fewer than two candidates were measured."""
    points = points_of(xray, batch)
    return plot(f"Latency, batch {batch}", points) if len(points) > 1 else None


def points_of(xray: XRay, batch: int) -> list[Point]:
    """What was measured at ``batch``, the dense model first."""
    dense, best = xray.candidates[0].at(batch), fastest(xray, batch)
    found = []
    for c in xray.candidates:
        one = c.at(batch)
        if one is None or dense is None or min(one.median_ms, one.ratio_low, c.size_bytes) <= 0:
            continue
        ends = dense.median_ms / one.ratio_high, dense.median_ms / one.ratio_low
        role = "original" if c is xray.candidates[0] else "result" if c is best else "other"
        hollow = " hollow" if role == "other" and gain(one) is not Gain.FASTER else ""
        found.append(Point(c.name, role + hollow, c.int8, one.median_ms, *ends, c.size_bytes))
    return found


def plot(title: str, points: Sequence[Point]) -> Markup:
    """``points`` with their labels, and the line of those that nothing beats in both."""
    height = HEIGHT + 2 * LINE * max(0, len(points) - POINTS_AT_FULL_HEIGHT)
    x = log_axis([p.ms for p in points], LEFT, WIDTH - RIGHT, fmt.latency)
    y = log_axis([p.size_bytes for p in points], height - BOTTOM, TOP, fmt.size)
    return el(
        "svg",
        *grid(x, y, height),
        el("text", title, x=(LEFT + WIDTH - RIGHT) / 2, y=f"{height - 6:g}", class_="axis", text_anchor="middle"),
        _front(points, x, y),
        *_marks(points, x, y, height),
        viewBox=f"0 0 {WIDTH} {height:g}",
        class_="scatter",
        role="img",
        aria_label=f"{title}, against file size: " + "; ".join(f"{p.label} {p.detail}" for p in points),
    )


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats in latency and size, the fastest first."""
    found: list[Point] = []
    for point in sorted(points, key=lambda p: (p.ms, p.size_bytes)):
        if not found or point.size_bytes < found[-1].size_bytes:
            found.append(point)
    return found


def _front(points: Sequence[Point], x: Axis, y: Axis) -> Markup:
    places = [f"{x.scale(p.ms):.1f},{y.scale(p.size_bytes):.1f}" for p in front(points)]
    return el("polyline", points=" ".join(places), class_="front")


def _marks(points: Sequence[Point], x: Axis, y: Axis, height: float) -> Iterator[Markup]:
    """Lines beneath symbols beneath labels, so that no candidate hides another's name."""
    places = [(x.scale(p.ms), y.scale(p.size_bytes)) for p in points]
    labels = [p.label if len(p.label) <= LONGEST_LABEL else p.label[: LONGEST_LABEL - 1] + "…" for p in points]
    boxes = place_labels(places, [(LETTER * len(label), LINE) for label in labels], height)
    for p, place, box in zip(points, places, boxes, strict=True):
        yield el("g", _interval(p, x, place[1]), _leader(place, box))
    for p, place in zip(points, places, strict=True):
        yield el("g", el("title", f"{p.label}: {p.detail}"), _symbol(p, place), class_=p.role)
    for label, box in zip(labels, boxes, strict=True):
        yield el("g", _label(label, box), class_="mark")


def _interval(p: Point, x: Axis, y: float) -> Markup:
    ends = (max(LEFT, x.scale(p.low_ms)), min(WIDTH - RIGHT, x.scale(p.high_ms)))
    return el("line", x1=f"{ends[0]:.1f}", x2=f"{ends[1]:.1f}", y1=f"{y:.1f}", y2=f"{y:.1f}", class_="interval")


def _leader(place: tuple[float, float], box: Box) -> Markup:
    """From the symbol to its label: short where they are beside each other."""
    to_x, to_y = box.nearest(*place)
    ends = {"x1": place[0], "y1": place[1], "x2": to_x, "y2": to_y}
    return el("line", class_="leader", **{name: f"{value:.1f}" for name, value in ends.items()})


def _symbol(p: Point, place: tuple[float, float]) -> Markup:
    """A circle in floats, a diamond in integers."""
    x, y = place
    if not p.int8:
        return el("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=6)
    return el("path", d=f"M{x:.1f} {y - 7.5:.1f}l7.5 7.5l-7.5 7.5l-7.5 -7.5z")


def _label(label: str, box: Box) -> Markup:
    at_x, at_y = (box.left + box.right) / 2, box.top + 11
    return el("text", label, x=f"{at_x:.1f}", y=f"{at_y:.1f}", class_="name", text_anchor="middle")
