"""Views, and operators that reorder dimensions or copy: rules, and resizers of those that spell sizes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import fx

from modelpress.graph.axes.call import Call, Value, argument
from modelpress.graph.axes.expr import Dims, constant, freeze
from modelpress.graph.axes.resize import OperatorResize, Resizer
from modelpress.graph.axes.sizes import note_computed, read_size, size_of, write_sizes
from modelpress.graph.axes.unify import regroup, unify_all

aten = torch.ops.aten
Rule = Callable[[Call], Value]


def same(call: Call) -> Value:
    """What comes out has the dimensions of the first argument."""
    return call.dims(0)


def view(size_argument: str) -> Rule:
    def rule(call: Call) -> Value:
        dims = regroup(call.dims(0), call.shape, call.why)
        note_computed(call, dims, call.argument(size_argument))
        return dims

    return rule


def flatten(call: Call) -> Value:
    return regroup(call.dims(0), call.shape, call.why)


def unflatten(call: Call) -> Value:
    dims = regroup(call.dims(0), call.shape, call.why)
    start, sizes = call.dim(), call.argument("sizes")
    note_computed(call, dims[start : start + len(sizes)], sizes)
    return dims


def view_as(call: Call) -> Value:
    """A view into another tensor's shape, so that tensor's dimensions are its own."""
    dims, other = regroup(call.dims(0), call.shape, call.why), call.dims("other")
    unify_all(zip(dims, other, strict=True), call.why)
    return other


def permute(call: Call) -> Value:
    dims = call.dims(0)
    return [dims[i] for i in call.argument("dims")]


def transpose(first: str, second: str) -> Rule:
    def rule(call: Call) -> Value:
        dims = list(call.dims(0))
        i, j = call.dim(first), call.dim(second)
        dims[i], dims[j] = dims[j], dims[i]
        return dims

    return rule


def reverse(call: Call) -> Value:
    return call.dims(0)[::-1]


def move(call: Call) -> Value:
    """movedim: the dimensions that move take their new places, the others fill up in order."""
    dims = call.dims(0)
    rank = len(dims)
    places = zip(_list(call, "source"), _list(call, "destination"), strict=True)
    moved = {j % rank: i % rank for i, j in places}
    others = (i for i in range(rank) if i not in moved.values())
    return [dims[moved[j] if j in moved else next(others)] for j in range(rank)]


def unsqueeze(call: Call) -> Value:
    dims = list(call.dims(0))
    dims.insert(call.dim(rank=len(dims) + 1), constant(1, "size 1"))
    return dims


def squeeze(call: Call) -> Value:
    """Of all dimensions, one, or some: those that are of size 1 go."""
    dims = call.dims(0)
    gone = _squeezed(call.node, dims)
    return [dim for i, dim in enumerate(dims) if i not in gone]


def _squeezed(node: fx.Node, dims: Dims) -> list[int]:
    given = range(len(dims)) if node.target is aten.squeeze.default else argument(node, "dim")
    chosen = [given] if isinstance(given, int) else list(given)
    return [i % len(dims) for i in chosen if dims[i].size == 1]


def squeeze_same(node: fx.Node, resizer: Resizer) -> None:
    """What shrank to size 1 must not be squeezed: name the dimensions that always were."""
    dims = resizer.source(node)
    if any(dim.size > 1 and resizer.size(dim) == 1 for dim in dims):
        node.args, node.kwargs = (node.args[0], _squeezed(node, dims)), {}
        node.target = aten.squeeze.dims


def ordered(call: Call) -> Value:
    """flip and roll: what stands where matters along some dimensions; none named means all."""
    dims = call.dims(0)
    for i in _list(call, "dims") or range(len(dims)):
        freeze(dims[i], call.why)
    return dims


def triangle(call: Call) -> Value:
    """tril and triu: rows and columns are compared by their numbers."""
    dims = call.dims(0)
    for dim in dims[-2:]:
        freeze(dim, call.why)
    return dims


def diagonal(call: Call) -> Value:
    dims = call.dims(0)
    across = [call.dim("dim1"), call.dim("dim2")]
    for i in across:
        freeze(dims[i], call.why)
    return [*(dim for i, dim in enumerate(dims) if i not in across), constant(call.shape[-1], call.why)]


def item(call: Call) -> Value:
    """One of several outputs."""
    values = call.values[call.source(0)]
    index = call.node.args[1]
    return values[index] if isinstance(values, tuple) and isinstance(index, int) else None


def _list(call: Call, name: str) -> Sequence[int]:
    given = call.argument(name)
    return [given] if isinstance(given, int) else given


def sizes(name: str) -> OperatorResize:
    """The output's sizes are in argument ``name``."""

    def resize(node: fx.Node, resizer: Resizer) -> None:
        write_sizes(node, name, resizer.dims(node), resizer)

    return resize


def unflatten_sizes(node: fx.Node, resizer: Resizer) -> None:
    start = int(argument(node, "dim")) % len(resizer.source(node))
    write_sizes(node, "sizes", resizer.dims(node)[start : start + len(argument(node, "sizes"))], resizer)


MOVEMENT: Mapping[Any, Rule] = {
    aten.alias.default: same,
    aten.clone.default: same,
    aten.contiguous.default: same,
    aten.detach.default: same,
    aten.diagonal.default: diagonal,
    aten.flatten.using_ints: flatten,
    aten.flip.default: ordered,
    aten.movedim.int: move,
    aten.movedim.intlist: move,
    aten.permute.default: permute,
    aten.ravel.default: flatten,
    aten.reshape.default: view("shape"),
    aten.reshape_as.default: view_as,
    aten.roll.default: ordered,
    aten.squeeze.default: squeeze,
    aten.squeeze.dim: squeeze,
    aten.squeeze.dims: squeeze,
    aten.swapaxes.default: transpose("axis0", "axis1"),
    aten.sym_size.int: size_of,
    aten.t.default: reverse,
    aten.to.dtype: same,
    aten.transpose.int: transpose("dim0", "dim1"),
    aten.tril.default: triangle,
    aten.triu.default: triangle,
    aten.type_as.default: same,
    aten.unflatten.int: unflatten,
    aten.unsqueeze.default: unsqueeze,
    aten.view.default: view("size"),
    aten.view_as.default: view_as,
}

RESIZERS: Mapping[Any, OperatorResize] = {
    aten.reshape.default: sizes("shape"),
    aten.squeeze.default: squeeze_same,
    aten.squeeze.dim: squeeze_same,
    aten.squeeze.dims: squeeze_same,
    aten.sym_size.int: read_size,
    aten.unflatten.int: unflatten_sizes,
    aten.view.default: sizes("size"),
}
