"""How training went: each metric of a training step over its epochs, as small inline SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modelpress.engine.events import StepProgressed
from modelpress.report import format as fmt
from modelpress.report.markup import Markup, el

WIDTH, HEIGHT = 300, 130
LEFT, RIGHT, TOP, BOTTOM = 8, 8, 10, 24
IGNORED = frozenset({"seconds_left"})
MAX_POINTS = 400


@dataclass(frozen=True)
class Curve:
    """A metric of a stage of a step. ``points`` are (units done, value); ``total`` units there are."""

    step: str
    stage: str
    metric: str
    total: float
    points: tuple[tuple[float, float], ...]


def curves(progress: Iterable[StepProgressed]) -> list[Curve]:
    """The curves of each step's last attempt with at least two points that are finite numbers."""
    words = list(progress)
    last = {word.step_id: word.attempt for word in words}
    series: dict[tuple[str, str, str], dict[float, float]] = {}
    totals: dict[tuple[str, str, str], float] = {}
    for word in words:
        for metric, value in word.metrics.items():
            if word.attempt == last[word.step_id] and metric not in IGNORED and math.isfinite(value):
                name = (word.step_id, word.stage, metric)
                series.setdefault(name, {})[word.done] = value
                totals[name] = word.total
    found = (Curve(*name, totals[name], thinned(sorted(points.items()))) for name, points in series.items())
    return [curve for curve in found if len(curve.points) > 1]


def thinned(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """At most some `MAX_POINTS` of ``points``, the last among them."""
    stride = max(1, math.ceil(len(points) / MAX_POINTS))
    return (*points[:-1:stride], points[-1])


def draw(curve: Curve) -> Markup:
    """The curve with its first and last value and its extremes."""
    values = [value for _, value in curve.points]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    total = max(curve.total, curve.points[-1][0]) or 1.0
    places = [
        (LEFT + (WIDTH - LEFT - RIGHT) * done / total, TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / span)
        for done, value in curve.points
    ]
    line = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    last_x, last_y = places[-1]
    units = ("epoch" if total == 1 else "epochs") if curve.stage == "train" else curve.stage
    extent = f"{fmt.plain(low)} to {fmt.plain(high)} over {fmt.compact(total)} {units}"
    return el(
        "svg",
        el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM, class_="grid"),
        el("path", d=line, class_="line"),
        el("circle", cx=f"{last_x:.1f}", cy=f"{last_y:.1f}", r=3.5),
        el("text", extent, x=LEFT, y=HEIGHT - 7, class_="tick"),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        class_="curve",
        role="img",
        aria_label=f"{curve.step}: {curve.metric} from {fmt.plain(values[0])} to {fmt.plain(values[-1])}",
    )
