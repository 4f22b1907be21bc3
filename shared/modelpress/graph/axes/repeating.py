"""Operators that repeat elements, and tensors of a size that the graph spells out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

from modelpress.graph import creators
from modelpress.graph.axes.call import Call, Value, argument, set_argument
from modelpress.graph.axes.expr import Atom, Dims, Expr, constant, constants, product
from modelpress.graph.axes.movement import Rule, same, sizes
from modelpress.graph.axes.resize import OperatorResize, Resizer
from modelpress.graph.axes.sizes import note_computed
from modelpress.graph.axes.unify import regroup, split, unify

aten = torch.ops.aten


def expand(call: Call) -> Value:
    """A dimension that is expanded from size 1 follows whatever it meets later."""
    old = _padded(call.dims(0), len(call.shape))
    dims = [dim if dim.size == n else Atom(n) for dim, n in zip(old, call.shape, strict=True)]
    note_computed(call, dims, call.argument("size"))
    return dims


def expand_as(call: Call) -> Value:
    other = call.dims("other")
    for dim, like in zip(_padded(call.dims(0), len(other)), other, strict=True):
        if dim.size == like.size:
            unify(dim, like, call.why)
    return other


def repeat(count: str) -> Rule:
    """repeat and tile: copies of whole dimensions, so the count is the major factor."""

    def rule(call: Call) -> Value:
        given = call.argument(count)
        given = [1] * (len(call.shape) - len(given)) + list(given)
        old = _padded(call.dims(0), len(call.shape))
        dims = zip(old, call.shape, given, strict=True)
        return [dim if dim.size == n else product([_repeated(n // dim.size, how), dim]) for dim, n, how in dims]

    return rule


def repeat_interleave(call: Call) -> Value:
    """Copies of each element, so the count is the minor factor; of all elements where no dimension is named."""
    dims, at = call.dims(0), call.argument("dim")
    if at is None:
        dims, at = regroup(dims, [product(dims).size], call.why), 0
    at %= len(dims)
    count = _repeated(call.shape[at] // dims[at].size, call.argument("repeats"))
    return [*dims[:at], product([dims[at], count]), *dims[at + 1 :]]


def meshgrid(call: Call) -> Value:
    """Every tensor's only dimension, in all outputs; the first two change places where indexed as "xy"."""
    dims = [call.dims(node)[0] for node in call.argument("tensors")]
    if call.argument("indexing") == "xy":
        dims[:2] = dims[1::-1]
    return tuple(list(dims) for _ in call.out_shapes)


def sized(call: Call) -> Value:
    """new_zeros and its like: dimensions that follow whatever they meet later."""
    dims: Dims = [Atom(n) for n in call.shape]
    note_computed(call, dims, call.argument("size"))
    return dims


def fixed(call: Call) -> Value:
    """arange and its like: numbers, each in its place."""
    return constants(call.shape, call.why)


def _repeated(size: int, how: Any) -> Expr:
    """A factor without elements of its own: it may shrink where its size is written out."""
    return constant(size, "size computed in the graph") if isinstance(how, fx.Node) else Atom(size)


def _padded(dims: Dims, rank: int) -> Dims:
    return [constant(1, "size 1")] * (rank - len(dims)) + dims


def repeat_counts(name: str) -> OperatorResize:
    def resize(node: fx.Node, resizer: Resizer) -> None:
        given = argument(node, name)
        dims = resizer.dims(node)[-len(given) :]
        set_argument(node, name, [_count(n, dim, resizer) for n, dim in zip(given, dims, strict=True)])

    return resize


def _count(count: Any, dim: Expr, resizer: Resizer) -> Any:
    """New size of the major factor ``count`` of ``dim``."""
    pieces = None if isinstance(count, fx.Node) else split(dim, count, "repeat")
    return count if pieces is None else resizer.size(pieces[0])


def interleave_count(node: fx.Node, resizer: Resizer) -> None:
    count, at = argument(node, "repeats"), argument(node, "dim")
    dim = resizer.dims(node)[at or 0]
    pieces = None if isinstance(count, fx.Node) else split(dim, dim.size // count, "repeat_interleave")
    if pieces is not None and resizer.changed([dim]):
        set_argument(node, "repeats", resizer.size(pieces[1]))
        set_argument(node, "output_size", None)


LIKE = (aten.full_like.default, aten.ones_like.default, aten.zeros_like.default)
SIZED = (aten.new_full.default, aten.new_ones.default, aten.new_zeros.default)

REPEATING: Mapping[Any, Rule] = {
    **dict.fromkeys(LIKE, same),
    **dict.fromkeys(SIZED, sized),
    aten.broadcast_to.default: expand,
    aten.expand.default: expand,
    aten.expand_as.default: expand_as,
    aten.meshgrid.indexing: meshgrid,
    aten.repeat.default: repeat("repeats"),
    aten.repeat_interleave.self_int: repeat_interleave,
    aten.tile.default: repeat("dims"),
    creators.arange: fixed,
    creators.eye: fixed,
    creators.linspace: fixed,
}

RESIZERS: Mapping[Any, OperatorResize] = {
    **dict.fromkeys(SIZED, sizes("size")),
    aten.broadcast_to.default: sizes("size"),
    aten.expand.default: sizes("size"),
    aten.repeat.default: repeat_counts("repeats"),
    aten.repeat_interleave.self_int: interleave_count,
    aten.tile.default: repeat_counts("dims"),
}
