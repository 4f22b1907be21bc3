"""Artifacts in full, and two of them side by side, as tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from modelpress.cli import output
from modelpress.cli.candidates import candidates_table

if TYPE_CHECKING:
    from modelpress.artifacts.manifest import Manifest
    from modelpress.client.comparison import Comparison, Total
    from modelpress.client.contents import Contents
    from modelpress.client.lineage import Making
    from modelpress.report.layers import Layer, LayerChange

TITLES = {
    "size_bytes": "size",
    "parameters": "parameters",
    "macs": "MACs of a sample",
    "weight_bytes": "weights",
    "activation_bytes": "activations of a sample",
    "top1": "top-1 accuracy",
}
WORDS = {"parameters": "fewer", "macs": "fewer"}
LONGEST_FACT = 400
HIDDEN_FACTS = ("inputs", "macs_by_layer", "parameters", "macs")
"""What other lines say already."""


def artifact(shown: Contents, manifest: Manifest, made: Sequence[Making]) -> None:
    """Everything about one artifact: what it is, layers, facts, blobs, what made it."""
    from modelpress.cli.tables import about
    from modelpress.report import format as fmt

    output.say(f"{shown.name}  {shown.kind}".strip() + f"  {fmt.size(shown.totals['size_bytes'])}", "bold")
    output.say(shown.digest)
    output.say(about(manifest))
    for given in shown.inputs:
        output.say(f"input: {given}")
    for note in manifest.config.get("notes", []):
        output.say(f"note: {note}", "yellow")
    _layers(shown)
    if len(shown.totals) > 1:
        output.say("  ".join(f"{TITLES[name]} {figure(name, value)}" for name, value in shown.totals.items()))
    _facts(shown)
    if shown.xrayed:
        output.say(f"x-rayed on this machine, {shown.xrayed.threads} threads", "bold")
        candidates_table(shown.xrayed.candidates)
    blobs = [[b.role, fmt.size(b.size_bytes), b.digest] for b in manifest.layers]
    output.table(["blob", "size", "digest"], blobs, right=["size"])
    _makings(made)


def _layers(shown: Contents) -> None:
    """A row a layer; sparsity only where a mask lies."""
    if not shown.layers:
        return
    columns = _columns(any(x.sparsity is not None for x in shown.layers))
    rows = [[show(x) for show in columns.values()] for x in shown.layers]
    numbers = [name for name in columns if name not in ("layer", "type", "weight")]
    output.table(list(columns), rows, right=numbers)


def _columns(masked: bool) -> dict[str, Callable[[Layer], str]]:
    from modelpress.report import format as fmt

    sparsity: dict[str, Callable[[Layer], str]] = {"masked": _masked} if masked else {}
    return {
        "layer": lambda x: x.path,
        "type": lambda x: x.type,
        "weight": shape,
        "bits": lambda x: str(x.bits),
        **sparsity,
        "params": lambda x: fmt.count(x.parameters),
        "MACs": lambda x: fmt.count(x.macs),
        "weights": lambda x: fmt.size(x.weight_bytes),
        "activ.": lambda x: fmt.size(x.activation_bytes),
    }


def _masked(layer: Layer) -> str:
    from modelpress.report import format as fmt

    return fmt.MISSING if layer.sparsity is None else fmt.percent(100 * layer.sparsity)


def shape(layer: Layer | None) -> str:
    return "×".join(map(str, layer.shape)) if layer else "–"


def figure(name: str, value: float | None) -> str:
    """A total with its unit."""
    from modelpress.report import format as fmt

    if value is None:
        return fmt.MISSING
    return fmt.size(value) if name.endswith("_bytes") else fmt.metric(name, value)


def _facts(shown: Contents) -> None:
    rows = [[name, _brief(value)] for name, value in shown.facts.items() if name not in HIDDEN_FACTS]
    if shown.operators:
        rows.append(["operators", ", ".join(f"{name} {count}" for name, count in shown.operators.items())])
    if rows:
        output.table(["fact", "value"], rows)
    if shown.measured:
        figures = [[TITLES.get(name, name), figure(name, value)] for name, value in shown.measured.figures.items()]
        output.table([f"measured in {shown.measured.run_id}", ""], figures, right=[""])


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_FACT else f"{text[:LONGEST_FACT]}… ({len(text):,} letters; --json has all)"


def _makings(made: Sequence[Making]) -> None:
    if not made:
        output.say("pushed, or made by no run of this home")
        return
    rows = [
        [
            m.step.id,
            m.step.uses,
            m.run_id,
            ", ".join(f"{k}={v}" for k, v in m.step.params.items()),
            m.digest.removeprefix("sha256:")[:12],
        ]
        for m in reversed(made)
    ]
    output.say("made by", "bold")
    output.table(["step", "method", "run", "parameters", "digest"], rows)


def comparison(found: Comparison) -> None:
    """Totals with their ratios, then the layers that changed."""
    from modelpress.report import format as fmt

    names = [side.name or fmt.short(side.digest) for side in (found.before, found.after)]
    names = names if names[0] != names[1] else [f"{names[0]} (1)", f"{names[1]} (2)"]
    rows = [["form", found.before.form, found.after.form, ""], *map(_total, found.totals)]
    output.table(["", *names, "change"], rows, right=[*names, "change"])
    if found.measured_in:
        output.say(f"accuracy and latencies as run {found.measured_in} measured both")
    else:
        output.say("no run of this home measured both, so latencies are not compared")
    changed = [change for change in found.layers if not change.same]
    if changed:
        masked = any(x.sparsity is not None for c in changed for x in (c.before, c.after) if x)
        numbers = ["bits", *(["masked"] if masked else []), "params", "MACs", "change"]
        output.table(["layer", "type", "weight", *numbers], [_change(c, masked) for c in changed], right=numbers)
    output.say(f"layers that changed: {len(changed):,} of {len(found.layers):,}")


def _total(total: Total) -> list[str]:
    from modelpress.report import format as fmt

    latency = total.name.startswith("latency")
    word = "faster" if latency else WORDS.get(total.name, "smaller")
    title = f"latency, batch {total.name.rpartition('_b')[2]}" if latency else TITLES.get(total.name, total.name)
    change = "" if total.ratio is None else fmt.times(total.ratio, word)
    if total.name == "top1" and total.before is not None and total.after is not None:
        change = fmt.points(total.before - total.after)
    return [title, figure(total.name, total.before), figure(total.name, total.after), change]


def _change(c: LayerChange, masked: bool) -> list[str]:
    from modelpress.report import format as fmt

    sides = (c.before, c.after)
    status = "added" if c.before is None else "removed" if c.after is None else ""
    macs = [x.macs if x else None for x in sides]
    if not status and macs[0] and macs[1]:
        status = fmt.times(macs[0] / macs[1], "fewer")
    return [
        c.path,
        _arrow(*(x.type if x else None for x in sides)),
        _arrow(*(shape(x) if x else None for x in sides)),
        _arrow(*(str(x.bits) if x else None for x in sides)),
        *([_arrow(*(_masked(x) if x else None for x in sides))] if masked else []),
        _arrow(*(fmt.count(x.parameters) if x else None for x in sides)),
        _arrow(*(fmt.count(m) if m is not None else None for m in macs)),
        status,
    ]


def _arrow(before: str | None, after: str | None) -> str:
    """What it was and is; once where that is the same or one side has none."""
    if before is None or after is None or before == after:
        return before or after or "–"
    return f"{before} → {after}"
