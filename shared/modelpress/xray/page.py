"""An x-ray as one HTML file: no script, no font, no image from elsewhere; light and dark; readable on a phone."""

from __future__ import annotations

from collections.abc import Sequence

from modelpress import __version__
from modelpress.report import format as fmt
from modelpress.report.document import document, facts_table, section, style_sheet
from modelpress.report.markup import Markup, el, join
from modelpress.xray.findings import ALL_CARRIED, XRay
from modelpress.xray.sections import axes, candidates, frozen, layers
from modelpress.xray.sections.gains import fastest
from modelpress.xray.sections.pareto import pareto


def render(xray: XRay) -> str:
    """The whole page."""
    css = style_sheet("modelpress.xray", "xray.css")
    parts = [section(title, note, content) for title, note, content in _parts(xray) if content is not None]
    footer = el("footer", f"Made by modelpress {__version__}. Latencies vary: compare what one x-ray measured.")
    return document(f"x-ray of {xray.source}", _header(xray), candidates.tiles(xray), *parts, footer, css=css)


def _header(xray: XRay) -> Markup:
    machine = xray.machine
    where = f"{machine.cpu}, {machine.threads} of {machine.cores} cores, {machine.runtime}"
    gains = any(fastest(xray, batch) for batch in xray.batches)
    doubtful = xray.noisy or not gains
    return el(
        "header",
        el("p", f"modelpress x-ray · {where} · took {fmt.duration(xray.seconds)}", class_="kicker"),
        el("h1", xray.source),
        el("p", xray.verdict, class_="verdict refused" if doubtful else "verdict"),
        el("p", el("strong", "Noisy: "), xray.noisy, class_="warning") if xray.noisy else None,
    )


def _parts(xray: XRay) -> list[tuple[str, str, Markup | None]]:
    """Title, note and content of each part; a part without content is left out."""
    return [
        ("Next", "One click selects the command.", el("pre", xray.next_command, class_="command")),
        ("What was built and measured", _CANDIDATES, candidates.comparison(xray)),
        ("Computed in floats", _IN_FLOATS, candidates.in_floats(xray)),
        ("Left out", "", candidates.skipped(xray)),
        ("Latency against size", _PARETO, _plots(xray)),
        ("What does not pay, and why", "", _list(xray.warnings, "warning")),
        ("Where the time goes", layers.note(xray), _joined(layers.chart(xray), layers.all_layers(xray))),
        ("What can be pruned", _AXES, _joined(axes.picture(xray), axes.all_axes(xray))),
        ("What is frozen", _FROZEN, frozen.frozen_table(xray)),
        ("What the export does not carry", _NOTES, _list(xray.notes or (ALL_CARRIED,), "item")),
        ("Machine and versions", "The figures depend on these.", _machine(xray)),
    ]


_CANDIDATES = (
    "Each was built as a package and run in turn with the dense model; beneath a latency, how many times faster, with "
    "the 95 % interval. Weights do not change a latency, so none was trained: accuracy is what the next command tells."
)
_IN_FLOATS = "The runtime has no integer kernel for these layers, so int8 makes them smaller but not faster."
_PARETO = (
    "Down and to the left is better, both logarithmic. Circles compute in floats, diamonds in int8; hollow ones are "
    "not faster for certain. A bar is the 95 % interval; the dashed line joins what nothing beats in both."
)
_AXES = (
    "An axis is an index space that shrinks everywhere at once. Areas are the parameters that hang on it; a weight "
    "counts on each of its axes. Hover for the layers."
)

_FROZEN = (
    "Index spaces that must stay, by what holds them and where: what whoever calls the model sees (input, output), the "
    "numbers of tokens (vocabulary), places in an image or sequence (space, time), or what an operator mixes. A weight "
    "is kept whole where it has no other dimension that can shrink."
)
_NOTES = "Above all what the module does in training only. Latencies do not depend on it; training what is small does."


def _plots(xray: XRay) -> Markup | None:
    drawn = [plot for batch in xray.batches if (plot := pareto(xray, batch)) is not None]
    return el("div", *(el("div", plot, class_="card") for plot in drawn), class_="columns") if drawn else None


def _joined(*parts: Markup | None) -> Markup | None:
    there = [part for part in parts if part is not None]
    return el("div", *there, class_="stack") if there else None


def _list(sentences: Sequence[str], class_: str) -> Markup | None:
    return join(*(el("p", sentence, class_=class_) for sentence in sentences)) if sentences else None


def _machine(xray: XRay) -> Markup:
    machine = xray.machine
    made = [("source", xray.source), ("batches", ", ".join(map(str, xray.batches))), ("threads", machine.threads)]
    made += [("took", fmt.duration(xray.seconds)), ("format of the findings", xray.version)]
    where = [("processor", machine.cpu), ("cores", machine.cores), ("runtime", machine.runtime)]
    where += list(machine.versions.items())
    tables = (
        facts_table(title, [[el("th", name, scope="row"), value] for name, value in rows])
        for title, rows in (("X-ray", made), ("Machine", where))
    )
    return el("div", el("div", *tables, class_="two"), class_="card")
