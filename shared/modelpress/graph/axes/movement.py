"""Rules of operators that only move, group or pick elements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import fx

from modelpress.graph.axes.broadcast import align
from modelpress.graph.axes.call import Call, Value
from modelpress.graph.axes.expr import Atom, Dims, Expr, constant, freeze, total
from modelpress.graph.axes.unify import regroup, unify

aten = torch.ops.aten
Rule = Callable[[Call], Value]


def same(call: Call) -> Value:
    """What comes out has the dimensions of the first argument."""
    return call.dims(0)


def view(size_argument: str) -> Rule:
    """A view whose sizes are written in the graph: those that are computed there must not change."""

    def rule(call: Call) -> Value:
        dims = regroup(call.dims(0), call.shape, call.why)
        freeze_computed(dims, call.argument(size_argument), call)
        return dims

    return rule


def freeze_computed(dims: Sequence[Expr], sizes: Sequence[Any], call: Call) -> None:
    """Freeze dimensions whose size the graph computes: it would not follow a removal."""
    for dim, size in zip(dims, sizes, strict=True):
        if isinstance(size, fx.Node):
            freeze(dim, f"size computed in the graph, {call.why}")


def flatten(call: Call) -> Value:
    return regroup(call.dims(0), call.shape, call.why)


def unflatten(call: Call) -> Value:
    dims = regroup(call.dims(0), call.shape, call.why)
    start, sizes = call.dim(), call.argument("sizes")
    freeze_computed(dims[start : start + len(sizes)], sizes, call)
    return dims


def permute(call: Call) -> Value:
    dims = call.dims(0)
    return [dims[i] for i in call.argument("dims")]


def transpose(call: Call) -> Value:
    dims = list(call.dims(0))
    i, j = call.dim("dim0"), call.dim("dim1")
    dims[i], dims[j] = dims[j], dims[i]
    return dims


def reverse(call: Call) -> Value:
    return call.dims(0)[::-1]


def unsqueeze(call: Call) -> Value:
    dims = list(call.dims(0))
    dims.insert(call.dim(rank=len(dims) + 1), constant(1, "size 1"))
    return dims


def squeeze(call: Call) -> Value:
    at = call.dim()
    return [dim for i, dim in enumerate(call.dims(0)) if i != at or dim.size != 1]


def expand(call: Call) -> Value:
    """A dimension that is expanded from size 1 follows whatever it meets later."""
    old = call.dims(0)
    old = [constant(1, "size 1")] * (len(call.shape) - len(old)) + old
    dims: Dims = [dim if dim.size == size else Atom(size) for dim, size in zip(old, call.shape, strict=True)]
    freeze_computed(dims, call.argument("size"), call)
    return dims


def concatenate(call: Call) -> Value:
    parts = [call.dims(node) for node in call.argument("tensors")]
    at = call.dim(rank=len(call.shape))
    across = [[dim for i, dim in enumerate(dims) if i != at] for dims in parts]
    others = align(across, [size for i, size in enumerate(call.shape) if i != at], call.why)
    return [*others[:at], total(dims[at] for dims in parts), *others[at:]]


def divide(call: Call) -> Value:
    """chunk and split: the segments of one dimension."""
    dims, at = call.dims(0), call.dim()
    parts = [Atom(shape[at]) for shape in call.out_shapes]
    unify(dims[at], total(parts), call.why)
    return tuple([*dims[:at], part, *dims[at + 1 :]] for part in parts)


def item(call: Call) -> Value:
    """One of several outputs."""
    values = call.values[call.source(0)]
    index = call.node.args[1]
    return values[index] if isinstance(values, tuple) and isinstance(index, int) else None


def select(call: Call) -> Value:
    dims, at = call.dims(0), call.dim()
    freeze(dims[at], call.why)
    return [*dims[:at], *dims[at + 1 :]]


def narrow(call: Call) -> Value:
    """slice: a segment of one dimension where it takes every element of a range, frozen otherwise."""
    dims, at = call.dims(0), call.dim()
    size, old = call.shape[at], dims[at].size
    if size == old:
        return dims
    start, end, step = (call.argument(name) for name in ("start", "end", "step"))
    if step != 1 or isinstance(start, fx.Node) or isinstance(end, fx.Node):
        freeze(dims[at], call.why)
        return [*dims[:at], constant(size, call.why), *dims[at + 1 :]]
    before, middle, after = (Atom(n) for n in ranges(old, start, size))
    unify(dims[at], total(part for part in (before, middle, after) if part.size), call.why)
    return [*dims[:at], middle, *dims[at + 1 :]]


def ranges(old: int, start: int | None, size: int) -> tuple[int, int, int]:
    """Sizes before, of and after a slice of ``size`` elements from ``start`` (counted from the end if negative)."""
    first = start or 0
    first += old if first < 0 else 0
    return first, size, old - first - size


def size_of(call: Call) -> Value:
    """A size used as a number: it must stay what it is."""
    freeze(call.dims(0)[call.dim()], f"its size is used as a number, {call.why}")
    return None


MOVEMENT: Mapping[Any, Rule] = {
    aten.view.default: view("size"),
    aten.reshape.default: view("shape"),
    aten.flatten.using_ints: flatten,
    aten.unflatten.int: unflatten,
    aten.permute.default: permute,
    aten.transpose.int: transpose,
    aten.t.default: reverse,
    aten.unsqueeze.default: unsqueeze,
    aten.squeeze.dim: squeeze,
    aten.expand.default: expand,
    aten.cat.default: concatenate,
    aten.chunk.default: divide,
    aten.split.Tensor: divide,
    aten.split_with_sizes.default: divide,
    aten.select.int: select,
    aten.slice.Tensor: narrow,
    aten.clone.default: same,
    aten.contiguous.default: same,
    aten.sym_size.int: size_of,
}
