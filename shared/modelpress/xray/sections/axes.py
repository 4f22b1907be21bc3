"""The axes: what can shrink as a treemap to hover, what is frozen hatched beneath, and both as tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

from modelpress.report import format as fmt
from modelpress.report.markup import Markup, el, join, table
from modelpress.xray.findings import AxisFinding, FrozenFinding, XRay
from modelpress.xray.sections.treemap import Rectangle, squarify

WIDTH, HEIGHT = 300.0, 100.0
"""Sides that the treemap is laid out for; the page stretches it."""

MOST_CELLS = 400
MOST_LABELS = 80
MOST_LAYERS_IN_TIP = 8
LEAST_AREA = 0.0004
"""Share of the picture that the smallest axis gets, so that it can be hovered."""


def picture(xray: XRay) -> Markup | None:
    """The share that can shrink, the treemap, the frozen."""
    if not xray.axes and not xray.frozen:
        return None
    parts = (_share(xray.prunable_share), treemap(xray.axes), _frozen_strip(xray.frozen), _legend(xray))
    return el("div", *parts, class_="card")


def _share(share: float) -> Markup:
    label = f"{percent(share)} of the weights have a dimension that can shrink"
    can = el("span", class_="can", style=f"width:{100 * share:.2f}%")
    return join(el("p", label), el("div", can, class_="share", role="img", aria_label=label))


def percent(share: float) -> str:
    """Rounded down, so that only all is 100 %."""
    return f"{math.floor(1000 * share + 1e-6) / 10:g} %"


def treemap(axes: Sequence[AxisFinding]) -> Markup | None:
    """A cell an axis, its area the parameters that hang on it; the smallest beyond `MOST_CELLS` share one."""
    if not axes:
        return None
    ordered = sorted(axes, key=lambda a: (-a.parameters, a.name))
    shown, others = ordered[:MOST_CELLS], ordered[MOST_CELLS:]
    areas = [float(a.parameters) for a in shown] + ([float(sum(a.parameters for a in others))] if others else [])
    least = LEAST_AREA * (sum(areas) or 1.0)
    order = sorted(range(len(areas)), key=lambda i: -areas[i])
    places = squarify([max(areas[i], least) for i in order], WIDTH, HEIGHT)
    cells = [
        _cell(shown[i], place, labelled=rank < MOST_LABELS) if i < len(shown) else _others(others, place)
        for rank, (i, place) in enumerate(zip(order, places, strict=True))
    ]
    label = f"{len(axes):,} axes by the parameters that hang on them; the table below lists them"
    return el("div", *cells, class_="treemap", role="img", aria_label=label)


def _cell(axis: AxisFinding, place: Rectangle, labelled: bool) -> Markup:
    label = None
    if labelled:
        label = el("span", el("b", axis.name), el("br"), f"{axis.size:,} · {fmt.count(axis.parameters)}")
    return el(
        "div", label, class_="cell inexact" if axis.inexact_because else "cell", title=tip(axis), style=_at(place)
    )


def _others(axes: Sequence[AxisFinding], place: Rectangle) -> Markup:
    text = f"{len(axes):,} smaller axes, {fmt.count(sum(a.parameters for a in axes))} parameters"
    return el("div", class_="cell", title=text, style=_at(place))


def _at(place: Rectangle) -> str:
    across = f"left:{100 * place.left / WIDTH:.2f}%;width:{100 * place.width / WIDTH:.2f}%"
    return f"{across};top:{100 * place.top / HEIGHT:.2f}%;height:{100 * place.height / HEIGHT:.2f}%"


def tip(axis: AxisFinding) -> str:
    """What hovering says: size, what hangs on it, whether removal is exact."""
    shown = [*axis.layers[:MOST_LAYERS_IN_TIP]]
    if len(axis.layers) > len(shown):
        shown.append(f"and {len(axis.layers) - len(shown):,} more")
    lines = [axis.name, f"{axis.size:,} indices, {axis.parameters:,} parameters"]
    lines += [f"removal is approximate: {axis.inexact_because}"] if axis.inexact_because else []
    return "\n".join([*lines, *shown])


def _frozen_strip(frozen: Sequence[FrozenFinding]) -> Markup | None:
    if not frozen:
        return None
    cells = [el("span", title="\n".join(filter(None, (f.name, f.why, f.line)))) for f in frozen[:MOST_CELLS]]
    label = f"{len(frozen):,} frozen axes; the table below says why"
    return el("div", *cells, class_="frozen", role="img", aria_label=label)


def _legend(xray: XRay) -> Markup:
    kinds = [
        ("key can", "removal is exact", any(not a.inexact_because for a in xray.axes)),
        ("key inexact", "approximate", any(a.inexact_because for a in xray.axes)),
        ("key hatched", "frozen", bool(xray.frozen) or xray.prunable_share < 1),
    ]
    return el("p", *(el("span", name, class_=class_) for class_, name, there in kinds if there), class_="legend")


def all_axes(xray: XRay) -> Markup | None:
    """The table of every axis, the heaviest first, closed at first."""
    if not xray.axes:
        return None
    head: list[object] = ["axis", *(el("th", name, class_="number", scope="col") for name in ("size", "parameters"))]
    rows = [_row(a) for a in sorted(xray.axes, key=lambda a: (-a.parameters, a.name))]
    title = el("summary", el("h3", f"Every axis and what hangs on it ({len(rows):,})"))
    body = el("div", table([*head, "removal", "layers"], rows, "layers"), class_="tall")
    return el("div", el("details", title, body), class_="card")


def _row(axis: AxisFinding) -> list[object]:
    return [
        el("th", el("code", axis.name), scope="row"),
        el("td", f"{axis.size:,}", class_="number"),
        el("td", fmt.count(axis.parameters), class_="number"),
        f"approximate: {axis.inexact_because}" if axis.inexact_because else "exact",
        el("code", ", ".join(axis.layers)),
    ]
