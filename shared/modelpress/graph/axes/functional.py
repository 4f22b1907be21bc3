"""Rules of parametrised operators: convolutions, norms, embeddings; the same for leaves and for computed weights.

`Call.weight` and `Call.setting` read a leaf's own parameters and attributes, or an operator's arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from modelpress.graph.axes.broadcast import align
from modelpress.graph.axes.call import Call, Value
from modelpress.graph.axes.expr import Atom, Dims, Expr, constants, freeze, mark_inexact, product
from modelpress.graph.axes.movement import Rule
from modelpress.graph.axes.unify import unify

aten = torch.ops.aten


def linear(call: Call) -> Value:
    """The leaf's; the operator's is an einsum."""
    x, weight = call.dims(0), required(call)
    unify(x[-1], weight[1], call.why)
    tie(call, "bias", [weight[0]])
    return [*x[:-1], weight[0]]


def convolution(call: Call) -> Value:
    """Grouped ones too: channels in are groups x inputs of a group, channels out groups x outputs of a group."""
    out, inner = required(call)[:2]
    groups = int(call.setting("groups"))
    group, member = Atom(groups), Atom(out.size // groups)
    unify(out, product([group, member]), call.why)
    return _convolved(call, product([group, inner]), inner, out)


def convolution_transposed(call: Call) -> Value:
    """As `convolution`, the kernel having channels in first, then the outputs of one group."""
    channels, member = required(call)[:2]
    groups = int(call.setting("groups"))
    group, inner = Atom(groups), Atom(channels.size // groups)
    unify(channels, product([group, inner]), call.why)
    return _convolved(call, channels, inner, product([group, member]))


def _convolved(call: Call, channels: Expr, inner: Expr, out: Expr) -> Value:
    """``inner`` are the channels of one group, which are summed over; every dimension of space stays as it is."""
    x, kernel = call.dims(0), required(call)[2:]
    spatial, why = len(kernel), f"space of {call.why}"
    unify(x[-spatial - 1], channels, call.why)
    tie(call, "bias", [out])
    for dim in [*x[-spatial:], *kernel]:
        freeze(dim, why)
    if call.leaf is None:
        call.contract([inner], call.source("input"), call.source("weight"))
    return [*x[: -spatial - 1], out, *constants(call.shape[-spatial:], why)]


def batch_norm(call: Call) -> Value:
    """Statistics of the batch, where the norm keeps none, run over all but the channels."""
    x = call.dims(0)
    for name in ("weight", "bias", "running_mean", "running_var"):
        tie(call, name, [x[1]])
    by_batch = call.weight("running_mean") is None or (call.leaf is None and call.argument("training"))
    _mark([x[0], *x[2:]] if by_batch else [], call)
    return x


def instance_norm(call: Call) -> Value:
    x = call.dims(0)
    for name in ("weight", "bias", "running_mean", "running_var"):
        tie(call, name, [x[1]])
    _mark(x[2:] if call.argument("use_input_stats") else [], call)
    return x


def layer_norm(call: Call) -> Value:
    """Layer norm and RMS norm, over the last dimensions."""
    x = call.dims(0)
    normalized = x[-len(call.setting("normalized_shape")) :]
    for name in ("weight", "bias"):
        tie(call, name, normalized)
    _mark(normalized, call)
    return x


def group_norm(call: Call) -> Value:
    """Whole groups go exactly, the same channels of each group approximately."""
    x = call.dims(0)
    groups = int(call.setting("num_groups"))
    group, member = Atom(groups), Atom(x[1].size // groups)
    unify(x[1], product([group, member]), call.why)
    for name in ("weight", "bias"):
        tie(call, name, [x[1]])
    _mark([member, *x[2:]], call)
    return x


def embedding(call: Call) -> Value:
    """Row numbers are values of the input, so that no row may go."""
    vocabulary, features = required(call)
    freeze(vocabulary, "vocabulary")
    return [*call.dims(0 if call.leaf is not None else "indices"), features]


def weight_norm(call: Call) -> Value:
    """A direction, divided by its length over all dimensions but one (all of them for -1), times a magnitude.

    A direction of length zero gives no number, so along that one dimension zeroing is not removing.
    """
    direction, dim = call.dims("v"), call.argument("dim")
    call.contract([d for i, d in enumerate(direction) if i != dim], call.source("v"))
    _mark(direction[dim : dim + 1] if dim >= 0 else [], call)
    return align([direction, call.dims("g")], call.shape, call.why)


def prelu(call: Call) -> Value:
    """A slope a channel, or one for all."""
    x, (slopes,) = call.dims("self"), required(call)
    if slopes.size > 1:
        unify(x[1], slopes, call.why)
    return x


def required(call: Call, name: str = "weight") -> Dims:
    """The dimensions of a weight that the operator cannot be without."""
    dims = call.weight(name)
    if dims is None:
        raise TypeError(f"{call.why}: it has no {name}")
    return dims


def tie(call: Call, name: str, dims: Dims) -> None:
    """Equate a weight's dimensions, where there is one of that name, with ``dims``."""
    for own, dim in zip(call.weight(name) or [], dims, strict=False):
        unify(dim, own, call.why)


def _mark(dims: Dims, call: Call) -> None:
    for dim in dims:
        mark_inexact(dim, call.operator)


CONVOLUTIONS = (
    aten.conv1d.default, aten.conv1d.padding, aten.conv2d.default, aten.conv2d.padding, aten.conv3d.default,
    aten.conv3d.padding,
)  # fmt: skip
TRANSPOSED = (aten.conv_transpose1d.default, aten.conv_transpose2d.input, aten.conv_transpose3d.input)

FUNCTIONAL: Mapping[Any, Rule] = {
    **dict.fromkeys(CONVOLUTIONS, convolution),
    **dict.fromkeys(TRANSPOSED, convolution_transposed),
    aten.batch_norm.default: batch_norm,
    aten.instance_norm.default: instance_norm,
    aten.layer_norm.default: layer_norm,
    aten.rms_norm.default: layer_norm,
    aten.group_norm.default: group_norm,
    aten.embedding.default: embedding,
    aten.prelu.default: prelu,
    aten._weight_norm.default: weight_norm,
}
