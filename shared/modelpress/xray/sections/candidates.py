"""The candidates: tiles of the best, the table, what was left out."""

from __future__ import annotations

from collections.abc import Iterator

from modelpress.report import format as fmt
from modelpress.report.markup import Markup, el, join, table
from modelpress.xray.findings import Candidate, Latency, XRay
from modelpress.xray.sections.axes import percent
from modelpress.xray.sections.gains import Gain, fastest, gain

PILLS = {Gain.NONE: "pill no-gain", Gain.SLOWER: "pill no"}

MOST_NAMES = 6


def tiles(xray: XRay) -> Markup:
    """The figures that matter most: the fastest candidate of each batch, its size, what can be pruned."""
    made = [
        _tile(f"Batch {batch}", f"{fmt.ratio(one.ratio)} faster", best.name)
        for batch in xray.batches
        if (best := fastest(xray, batch)) and (one := best.at(batch))
    ]
    smallest = max(xray.candidates, key=lambda c: c.size_ratio)
    made.append(_tile("File size", fmt.times(smallest.size_ratio, "smaller"), smallest.name))
    made.append(_tile("Weights that can be pruned", percent(xray.prunable_share), _count(len(xray.axes), "axis")))
    return el("div", *made, class_="tiles")


def _tile(name: str, value: str, below: str) -> Markup:
    texts = (("name", name), ("value", value), ("was", below))
    return el("div", *(el("div", content, class_=class_) for class_, content in texts), class_="tile")


def _count(n: int, word: str) -> str:
    plural = {"axis": "axes"}.get(word, f"{word}s")
    return f"{n:,} {word if n == 1 else plural}"


def comparison(xray: XRay) -> Markup:
    """Every candidate as a row; the best of each batch is marked, and what brings nothing is said to."""
    best = {batch: fastest(xray, batch) for batch in xray.batches}
    head: list[object] = [el("th", "candidate", scope="col")]
    head += [_column(title) for title in ("file size", "smaller", "parameters", "MACs")]
    head += [_column(f"batch {batch}", "times faster (interval)") for batch in xray.batches]
    rows = [_row(c, xray, best) for c in xray.candidates]
    return el("div", table(head, rows, "candidates"), class_="card")


def _column(title: str, below: str = "") -> Markup:
    return el("th", title, el("span", below, class_="delta") if below else None, class_="number", scope="col")


def _row(c: Candidate, xray: XRay, best: dict[int, Candidate | None]) -> list[object]:
    dense = c is xray.candidates[0]
    below = f"{_count(len(c.float_layers), 'layer')} in floats" if c.float_layers else ""
    name = el("th", c.name, el("span", below, class_="delta") if below else None, scope="row")
    figures = (fmt.size(c.size_bytes), fmt.MISSING if dense else fmt.ratio(c.size_ratio), fmt.count(c.parameters))
    cells = [el("td", value, class_="number") for value in (*figures, fmt.count(c.macs))]
    return [name, *cells, *(_latency(c.at(b), dense, best[b] is c) for b in xray.batches)]


def _latency(one: Latency | None, dense: bool, best: bool) -> Markup:
    if one is None:
        return el("td", fmt.MISSING, class_="number")
    if dense:
        return el("td", fmt.latency(one.median_ms), class_="number")
    interval = f"{fmt.ratio(one.ratio)} ({fmt.significant(one.ratio_low)} to {fmt.significant(one.ratio_high)})"
    found = gain(one)
    pill = el("span", "best", class_="pill yes") if best else None
    pill = pill or (el("span", found.value, class_=PILLS[found]) if found in PILLS else None)
    value = join(fmt.latency(one.median_ms), pill, separator=" ")
    return el("td", value, el("span", interval, class_="delta"), class_="number result" if best else "number")


def in_floats(xray: XRay) -> Markup | None:
    """The layers of int8 candidates that the runtime computes in floats, once for candidates that agree."""
    by_layers: dict[tuple[str, ...], list[str]] = {}
    for c in xray.candidates:
        if c.float_layers:
            by_layers.setdefault(c.float_layers, []).append(c.name)
    parts = [el("details", *_float_layers(layers, names)) for layers, names in by_layers.items()]
    return el("div", *parts, class_="card") if parts else None


def _float_layers(layers: tuple[str, ...], names: list[str]) -> Iterator[Markup]:
    title = f"{_count(len(layers), 'layer')} without an integer kernel"
    yield el("summary", el("h3", title), el("span", _listed(names), class_="grow"))
    yield el("ul", *(el("li", el("code", path)) for path in layers), class_="names")


def _listed(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= MOST_NAMES else f"{len(names)} candidates"


def skipped(xray: XRay) -> Markup | None:
    """What could not be built or measured, and why."""
    if not xray.skipped:
        return None
    rows = [[el("th", s.name, scope="row"), s.why] for s in xray.skipped]
    return el("div", table(["candidate", "why it is not in the table"], rows, "reasons"), class_="card")
