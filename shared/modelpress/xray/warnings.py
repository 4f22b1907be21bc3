"""What does not pay, and why. Pure functions of the findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modelpress.report import format as fmt
from modelpress.xray.findings import AxisFinding, Candidate, LayerFinding
from modelpress.xray.sections.gains import Gain, gain

MULTIPLE = 8
MOST_NAMES = 4
SMALL_LAYER_US = 10.0
"""Calls of kernels cost some microseconds each: a model whose layers take no longer is bound by that."""
WIDE = 0.1
"""A share of weights in floats that is worth a word."""
TELLING = 0.01
"""A share of the multiplications that is."""


def warnings(
    candidates: Sequence[Candidate],
    layers: Sequence[LayerFinding],
    axes: Sequence[AxisFinding],
    batches: Sequence[int],
) -> tuple[str, ...]:
    """In the order of what they cost."""
    no_gain, in_floats = _no_gain(candidates, layers, batches), _in_floats(candidates, layers)
    return (*no_gain, *in_floats, *_odd_widths(axes))


def _no_gain(candidates: Sequence[Candidate], layers: Sequence[LayerFinding], batches: Sequence[int]) -> Iterator[str]:
    int8 = _int8_alone(candidates)
    for batch in batches if int8 else ():
        one = int8.at(batch) if int8 else None
        if int8 is None or one is None or gain(one) is Gain.FASTER:
            continue
        told = "slower" if gain(one) is Gain.SLOWER else "no faster"
        interval = f"({one.ratio_low:.2f} to {one.ratio_high:.2f}×)"
        yield f"int8 alone is {told} at batch {batch} {interval}: {_why(int8, layers)}"


def _int8_alone(candidates: Sequence[Candidate]) -> Candidate | None:
    return next((c for c in candidates if c.int8 and c.width == 1), None)


def _why(int8: Candidate, layers: Sequence[LayerFinding]) -> str:
    """What the time is spent on where integer arithmetic does not help."""
    timed = [layer for layer in layers if layer.dense_us]
    total = sum(layer.dense_us or 0 for layer in timed)
    helped = sum(layer.dense_us or 0 for layer in timed if layer.macs and layer.path not in int8.float_layers)
    if not total or helped < 0.5 * total:
        share = helped / total if total else 0
        return f"only {share:.0%} of the time goes to multiplications that have an integer kernel"
    if total / len(timed) < SMALL_LAYER_US:
        return f"its layers take {total / len(timed):.1f} µs each, which calling a kernel costs; it is overhead-bound"
    return "changing the number format of what is read and written costs what the arithmetic saves; it is memory-bound"


def _in_floats(candidates: Sequence[Candidate], layers: Sequence[LayerFinding]) -> Iterator[str]:
    int8 = _int8_alone(candidates)
    if int8 is None:
        return
    computed = [layer for layer in layers if layer.path in int8.float_layers]
    share = _share(computed, layers, "macs")
    if share >= TELLING:
        names = _some([f"{layer.path} ({layer.type})" for layer in computed])
        yield f"int8 leaves {share:.0%} of the multiplications in floats, for want of integer kernels: {names}"
    kept = [layer for layer in layers if layer.weight_bytes and _keeps_float_weights(layer, int8)]
    share = _share(kept, layers, "weight_bytes")
    if share >= WIDE:
        dearest = sorted(kept, key=lambda layer: -layer.weight_bytes)
        names = _some([f"{layer.path} ({layer.type}, {fmt.size(layer.weight_bytes)})" for layer in dearest])
        yield f"int8 leaves {share:.0%} of the weights' bytes in floats: {names}"


def _share(some: Sequence[LayerFinding], layers: Sequence[LayerFinding], figure: str) -> float:
    total = sum(getattr(layer, figure) for layer in layers)
    return sum(getattr(layer, figure) for layer in some) / total if total else 0.0


def _keeps_float_weights(layer: LayerFinding, int8: Candidate) -> bool:
    return layer.path in int8.float_layers or layer.type in ("Embedding", "Parameter", "Buffer")


def _odd_widths(axes: Sequence[AxisFinding]) -> Iterator[str]:
    odd = [f"{axis.name} ({axis.size})" for axis in axes if axis.size > MULTIPLE and axis.size % MULTIPLE]
    if odd:
        yield f"widths that are no multiple of {MULTIPLE} leave lanes of the processor empty: {_some(odd)}"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMES])
    return f"{shown} and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else shown
