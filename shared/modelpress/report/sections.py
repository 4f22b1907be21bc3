"""The parts of the page that show what came out: tiles, table, plots, layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from modelpress.pipeline.gates import parse_condition
from modelpress.report import format as fmt
from modelpress.report.evidence import Candidate, Role, change, drop_points
from modelpress.report.facts import Facts, model_digest
from modelpress.report.layers import Layer, LayerChange, compare, layers_of
from modelpress.report.markup import Markup, el, join, table
from modelpress.report.scatter import Point, scatter


def pair(facts: Facts) -> tuple[Candidate, Candidate] | None:
    """The original and the result, when both were measured."""
    by_role = {c.role: c for c in facts.candidates}
    if Role.ORIGINAL in by_role and Role.RESULT in by_role:
        return by_role[Role.ORIGINAL], by_role[Role.RESULT]
    return None


def batches(facts: Facts) -> list[int]:
    """Batch sizes that any candidate was timed at."""
    return sorted({batch for c in facts.candidates for batch in c.batches})


def tiles(facts: Facts) -> Markup | None:
    """The figures that matter most, each with what it was before."""
    ends = pair(facts)
    if ends is None:
        return None
    before, after = ends
    made = [_ratio_tile("File size", before, after, "size_bytes", "size_ratio", fmt.size, "smaller")]
    made.append(_accuracy_tile(before, after))
    for batch in reversed(batches(facts)):
        name = f"Latency, batch {batch}"
        made.append(
            _ratio_tile(name, before, after, f"latency_ms_b{batch}", f"latency_ratio_b{batch}", fmt.latency, "faster")
        )
    made.append(_ratio_tile("Parameters", before, after, "parameters", "", fmt.count, "fewer"))
    return el("div", *(tile for tile in made if tile is not None), class_="tiles")


def _tile(name: str, value: str, was: str) -> Markup:
    parts = (el("div", text, class_=class_) for text, class_ in ((name, "name"), (value, "value"), (was, "was")))
    return el("div", *parts, class_="tile")


def _ratio_tile(
    name: str,
    before: Candidate,
    after: Candidate,
    figure: str,
    ratio: str,
    show: Callable[[float | None], str],
    word: str,
) -> Markup | None:
    times = change(before, after, figure, ratio)
    if times is None:
        return None
    was = f"{show(before.get(figure))} → {show(after.get(figure))}"
    return _tile(name, fmt.times(times, word), was)


def _accuracy_tile(before: Candidate, after: Candidate) -> Markup | None:
    drop = drop_points(before, after)
    if drop is None:
        return None
    return _tile(
        "Top-1 accuracy", fmt.points(drop), f"{fmt.percent(before.get('top1'))} → {fmt.percent(after.get('top1'))}"
    )


def comparison(facts: Facts) -> Markup | None:
    """Every measured candidate as a column; below each figure its change from the original."""
    if not facts.candidates:
        return None
    head: list[object] = [el("th", "")]
    head += [
        el("th", c.label, el("span", c.source, class_="delta muted"), class_=f"number {c.role}")
        for c in facts.candidates
    ]
    rows = [row for row in _rows(facts) if len(row) > 1]
    return el("div", table(head, rows, "compare"), class_="card")


def _rows(facts: Facts) -> list[list[object]]:
    found = facts.candidates
    original = next((c for c in found if c.role is Role.ORIGINAL), None)
    rows = [_accuracy_row(found, original)]
    rows.append(_figure_row("File size", found, original, "size_bytes", "size_ratio", fmt.size, "smaller"))
    for batch in batches(facts):
        name = f"Latency, batch {batch}"
        figure, ratio = f"latency_ms_b{batch}", f"latency_ratio_b{batch}"
        rows.append(_figure_row(name, found, original, figure, ratio, fmt.latency, "faster"))
    rows.append(_figure_row("Parameters", found, original, "parameters", "", fmt.count, "fewer"))
    return rows


def _accuracy_row(found: Sequence[Candidate], original: Candidate | None) -> list[object]:
    def cell(c: Candidate) -> Markup:
        drop = drop_points(original, c) if original and c is not original else None
        return _number(c, fmt.percent(c.get("top1")), None if drop is None else fmt.points(drop))

    return ["Top-1 accuracy", *map(cell, found)] if any(c.get("top1") is not None for c in found) else []


def _figure_row(
    name: str, found: Sequence[Candidate], original: Candidate | None,
    figure: str, ratio: str, show: Callable[[float | None], str], word: str,
) -> list[object]:  # fmt: skip
    def cell(c: Candidate) -> Markup:
        times = change(original, c, figure, ratio) if original and c is not original else None
        return _number(c, show(c.get(figure)), None if times is None else fmt.times(times, word))

    return [name, *map(cell, found)] if any(c.get(figure) is not None for c in found) else []


def _number(candidate: Candidate, value: str, delta: str | None) -> Markup:
    below = el("span", delta, class_="delta") if delta else None
    return el("td", value, below, class_=f"number {candidate.role}")


def plots(facts: Facts) -> Markup | None:
    """Accuracy against file size, and against latency at each batch size."""
    floor = _accuracy_floor(facts)
    made = [_plot(facts, "File size", "size_bytes", fmt.size, floor)]
    for batch in batches(facts):
        made.append(_plot(facts, f"Latency at batch {batch}", f"latency_ms_b{batch}", fmt.latency, floor))
    drawn = [el("div", plot, class_="card") for plot in made if plot is not None]
    return el("div", *drawn, class_="columns") if drawn else None


def _plot(
    facts: Facts, title: str, figure: str, show: Callable[[float | None], str], floor: float | None
) -> Markup | None:
    points = [
        Point(c.label, c.role, cost, top1)
        for c in facts.candidates
        if (cost := c.get(figure)) and (top1 := c.get("top1")) is not None
    ]
    return scatter(title, points, show, floor) if len(points) > 1 else None


def _accuracy_floor(facts: Facts) -> float | None:
    """The least accuracy that a gate on ``top1_drop_points`` lets through, in percent."""
    ends = pair(facts)
    gates = [step.gate["top1_drop_points"] for step in facts.run.plan.steps if "top1_drop_points" in step.gate]
    top1 = ends[0].get("top1") if ends else None
    return top1 - parse_condition(gates[0]).threshold if gates and top1 is not None else None


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
