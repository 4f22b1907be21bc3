"""Layers by what they cost: a bar chart of the dearest, dense beside the best candidate, and the whole table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelpress.report import format as fmt
from modelpress.report.markup import Markup, el, table
from modelpress.xray.findings import LayerFinding, XRay

LEAST_BARS, MOST_BARS = 8, 16
LEAST_SHARE = 0.008
"""Layers below this share of the whole are grouped, but for the `LEAST_BARS` dearest."""

LONGEST_PATH = 52


@dataclass(frozen=True)
class Bar:
    """A layer: ``dense`` and ``best`` in the chart's unit, None where it took no time of its own or none is known.

    ``grouped``: many layers.
    """

    path: str
    about: str
    dense: float | None
    best: float | None
    grouped: bool = False

    @property
    def longest(self) -> float:
        return max(self.dense or 0.0, self.best or 0.0)


def timed(layers: Sequence[LayerFinding]) -> bool:
    """Whether the dense times are known."""
    return any(x.dense_us is not None for x in layers)


def beside(layers: Sequence[LayerFinding]) -> bool:
    """Whether the best candidate's times are known too."""
    return timed(layers) and any(x.best_us is not None for x in layers)


def bars(layers: Sequence[LayerFinding]) -> list[Bar]:
    """The dearest layers first, the small ones as one bar at the end."""
    by_time = timed(layers)
    made = sorted((_bar(x, by_time) for x in layers), key=lambda bar: -bar.longest)
    least = LEAST_SHARE * sum(bar.longest for bar in made)
    large = max(LEAST_BARS, sum(bar.longest >= least for bar in made[:MOST_BARS]))
    rest = made[large:]
    if len(rest) < 2:
        return made
    sums = (sum(bar.dense or 0.0 for bar in rest), sum(bar.best or 0.0 for bar in rest) if beside(layers) else None)
    return [*made[:large], Bar(f"the rest, {len(rest):,} layers", "", *sums, grouped=True)]


def _bar(x: LayerFinding, by_time: bool) -> Bar:
    about = f"{x.type} {shape(x)}".strip()
    return Bar(x.path, about, x.dense_us, x.best_us) if by_time else Bar(x.path, about, float(x.macs), None)


def shape(layer: LayerFinding) -> str:
    return "×".join(map(str, layer.shape))


def chart(xray: XRay) -> Markup | None:
    """Horizontal bars; a list, so that it is read aloud as one."""
    made = bars(xray.layers)
    if not any(bar.longest for bar in made):
        return None
    show = _time if timed(xray.layers) else fmt.count
    largest = max(bar.longest for bar in made if not bar.grouped)
    sides = ("dense", "best") if beside(xray.layers) else ("dense",)
    names = {"dense": "dense", "best": xray.layers_beside}
    legend = el("p", *(el("span", names[side], class_=f"key {side}") for side in sides), class_="legend")
    items = [_item(bar, largest, show, sides) for bar in made]
    return el("div", legend, el("ol", *items, class_="bars"), class_="card")


def note(xray: XRay) -> str:
    """What the bars show and why."""
    if timed(xray.layers):
        return (
            "Time of a call at the smallest batch, the dearest first. Rows of type runtime are what the runtime adds: "
            "changes of layout and of number format. What is fused into another layer has no time of its own."
        )
    return "Layers were not timed, so the bars show multiply-accumulates (MACs) of one sample, the dearest first."


def _time(microseconds: float) -> str:
    return fmt.latency(microseconds / 1000)


def _item(bar: Bar, largest: float, show: Callable[[float], str], sides: Sequence[str]) -> Markup:
    about = el("span", bar.about, class_="muted") if bar.about else None
    what = el("div", el("code", shortened(bar.path), title=bar.path), about, class_="what")
    scale = None if bar.grouped else largest
    tracks = [_track(bar.dense if side == "dense" else bar.best, scale, show, side) for side in sides]
    return el("li", what, el("div", *tracks))


def _track(value: float | None, largest: float | None, show: Callable[[float], str], side: str) -> Markup:
    """A bar and its value; the value alone without a ``largest`` to compare it with."""
    length = f"width:{max(0.3, 100 * value / largest):.1f}%" if largest and value else "visibility:hidden"
    figure = el("b", fmt.MISSING if value is None else show(value))
    return el("div", el("span", class_=f"bar {side}", style=length), figure, class_="track")


def shortened(path: str) -> str:
    """The beginning and the end of a long path; layers of a block differ in their ends."""
    return path if len(path) <= LONGEST_PATH else f"{path[:16]}…{path[17 - LONGEST_PATH :]}"


def all_layers(xray: XRay) -> Markup | None:
    """The table of every layer, in graph order, closed at first."""
    if not xray.layers:
        return None
    by_time, both = timed(xray.layers), beside(xray.layers)
    figures = ["parameters", "MACs", "weights", "activations"]
    figures += ["dense"] if by_time else []
    figures += [xray.layers_beside] if both else []
    head: list[object] = [
        "layer",
        "type",
        "weight",
        *(el("th", name, class_="number", scope="col") for name in figures),
    ]
    rows = [_row(x, by_time, both) for x in xray.layers]
    title = el("summary", el("h3", f"Every layer, in the graph's order ({len(rows):,})"))
    return el("div", el("details", title, el("div", table(head, rows, "layers"), class_="tall")), class_="card")


def _row(x: LayerFinding, by_time: bool, both: bool) -> list[object]:
    figures = [fmt.count(x.parameters), fmt.count(x.macs), fmt.size(x.weight_bytes), fmt.size(x.activation_bytes)]
    times = [t for t, wanted in ((x.dense_us, by_time), (x.best_us, both)) if wanted]
    figures += [fmt.MISSING if t is None else _time(t) for t in times]
    path = el("th", el("code", x.path), scope="row")
    return [path, x.type, shape(x) or fmt.MISSING, *(el("td", figure, class_="number") for figure in figures)]
