"""The parts of the page that show what came out: tiles, table, plots, layers."""

from __future__ import annotations

from modelpress.pipeline.gates import parse_condition
from modelpress.report import format as fmt
from modelpress.report.curves import curves, draw
from modelpress.report.evidence import Candidate, Role
from modelpress.report.facts import Facts, model_digest
from modelpress.report.figures import Figure, Measure, Row, measures, rows
from modelpress.report.layers import Layer, LayerChange, compare, layers_of
from modelpress.report.markup import Markup, el, join, table
from modelpress.report.scatter import Point, scatter


def pair(facts: Facts) -> tuple[Candidate, Candidate] | None:
    """The original and the result, when both were measured."""
    by_role = {c.role: c for c in facts.candidates}
    if Role.ORIGINAL in by_role and Role.RESULT in by_role:
        return by_role[Role.ORIGINAL], by_role[Role.RESULT]
    return None


def tiles(facts: Facts) -> Markup | None:
    """The figures that matter most, each with what it was before."""
    ends = pair(facts)
    if ends is None:
        return None
    made = [_tile(row, was, now) for row in rows(ends) for was, now in [row.figures] if now.change]
    return el("div", *made, class_="tiles")


def _tile(row: Row, was: Figure, now: Figure) -> Markup:
    texts = (("name", row.name), ("value", now.change), ("was", f"{was.value} → {now.value}"))
    return el("div", *(el("div", content, class_=class_) for class_, content in texts), class_="tile")


def comparison(facts: Facts) -> Markup | None:
    """Every measured candidate as a column; below each figure its change from the original."""
    found = facts.candidates
    if not found:
        return None
    head: list[object] = [el("th", "")]
    head += [el("th", c.label, el("span", c.source, class_="delta"), class_=f"number {c.role}") for c in found]
    body = [[row.name, *(_number(f, c) for f, c in zip(row.figures, found, strict=True))] for row in rows(found)]
    return el("div", table(head, body, "compare"), class_="card")


def _number(figure: Figure, candidate: Candidate) -> Markup:
    below = el("span", figure.change, class_="delta") if figure.change else None
    return el("td", figure.value, below, class_=f"number {candidate.role}")


def plots(facts: Facts) -> Markup | None:
    """Accuracy against file size, and against latency at each batch size."""
    floor = _accuracy_floor(facts)
    made = [_plot(facts, m, floor) for m in measures(facts.candidates) if m.figure != "parameters"]
    drawn = [el("div", plot, class_="card") for plot in made if plot is not None]
    return el("div", *drawn, class_="columns") if drawn else None


def _plot(facts: Facts, measure: Measure, floor: float | None) -> Markup | None:
    points = [
        Point(c.label, c.role, cost, top1)
        for c in facts.candidates
        if (cost := c.get(measure.figure)) and (top1 := c.get("top1")) is not None
    ]
    return scatter(measure.name, points, measure.show, floor) if len(points) > 1 else None


def _accuracy_floor(facts: Facts) -> float | None:
    """The least accuracy that a gate on ``top1_drop_points`` lets through, in percent."""
    ends = pair(facts)
    gates = [step.gate["top1_drop_points"] for step in facts.run.plan.steps if "top1_drop_points" in step.gate]
    top1 = ends[0].get("top1") if ends else None
    floor = top1 - parse_condition(gates[0]).threshold if gates and top1 is not None else -1.0
    return floor if floor >= 0 else None


def training(facts: Facts) -> Markup | None:
    """A curve for each metric of each step that trained in this run."""
    drawn = [
        el("div", el("p", el("strong", c.step), f" {c.metric.replace('_', ' ')}"), draw(c), class_="card")
        for c in curves(facts.progress)
    ]
    return el("div", *drawn, class_="columns narrow") if drawn else None


def layer_table(facts: Facts) -> Markup | None:
    """Shapes and bits of each layer, before and after."""
    ends = pair(facts)
    if ends is None:
        return None
    models = [facts.manifests.get(model_digest(facts.run, candidate)) for candidate in ends]
    before, after = (layers_of(m.config) if m else () for m in models)
    if not before and not after:
        return None
    changes = compare(before, after)
    largest = max(max(x.weight_bytes for x in (c.before, c.after) if x) for c in changes)
    head: list[object] = [
        "layer",
        "type",
        "weight before",
        "after",
        "bits",
        el("th", "weight bytes", class_="number"),
        "",
    ]
    return el("div", table(head, [_layer_row(c, largest) for c in changes], "layers"), class_="card")


def _layer_row(c: LayerChange, largest: float) -> list[object]:
    layer = c.after or c.before
    assert layer is not None  # a change has at least one side
    return [
        el("code", c.path),
        layer.type,
        _shape(c.before),
        _shape(c.after) if c.after else el("span", "folded or removed", class_="muted"),
        _arrow(c.before and c.before.bits, c.after and c.after.bits),
        el("td", _arrow(*(x and fmt.size(x.weight_bytes) for x in (c.before, c.after))), class_="number"),
        join(*(_bar(x, largest, side) for x, side in ((c.before, "bar before"), (c.after, "bar")))),
    ]


def _shape(layer: Layer | None) -> str:
    return "×".join(map(str, layer.shape)) if layer else fmt.MISSING


def _arrow(before: object, after: object) -> str:
    """What it was and is; once where that is the same."""
    old, new = (fmt.MISSING if x is None else str(x) for x in (before, after))
    return old if old == new else f"{old} → {new}"


def _bar(layer: Layer | None, largest: float, class_: str) -> Markup | None:
    if layer is None or not largest:
        return None
    return el(
        "div",
        el("span", class_=class_, style=f"width:{max(2, round(120 * layer.weight_bytes / largest))}px"),
        style="line-height:11px",
    )
