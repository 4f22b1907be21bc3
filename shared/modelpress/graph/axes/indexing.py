"""Operators that read and write at places that a tensor of indices names: along what is indexed nothing may go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

from modelpress.graph.axes.broadcast import align
from modelpress.graph.axes.call import Call, Value
from modelpress.graph.axes.expr import Dims, constant, freeze
from modelpress.graph.axes.movement import Rule
from modelpress.graph.axes.unify import unify, unify_all

aten = torch.ops.aten


def index(call: Call) -> Value:
    """``x[:, i, j]``: what is indexed is frozen, its place is taken by the dimensions of the indices."""
    return _read(call, _indexed(call))


def index_put(call: Call) -> Value:
    """``x[:, i] = values``: values have the dimensions that reading there gives, or are broadcast to them."""
    indexed = _indexed(call)
    dims, values = call.dims("self"), call.dims("values")
    if any(len(call.dims(node)) > 1 for node in indexed.values()):  # a mask covers as many dimensions as it has
        for dim in (*dims, *values):
            freeze(dim, call.why)
        return dims
    for dim, value in zip(reversed(_read(call, indexed)), reversed(values), strict=False):
        if value.size > 1:
            unify(dim, value, call.why)
    return dims


def _indexed(call: Call) -> dict[int, fx.Node]:
    """Which dimension is indexed by what."""
    return {at: node for at, node in enumerate(call.argument("indices")) if node is not None}


def _read(call: Call, indexed: Mapping[int, fx.Node]) -> Dims:
    """Indices of adjacent dimensions stand in their place, others in front."""
    dims = call.dims("self")
    if not indexed:
        return list(dims)
    for at in indexed:
        freeze(dims[at], call.why)
    others = [dim for at, dim in enumerate(dims) if at not in indexed]
    first, last = min(indexed), max(indexed)
    before = first if list(indexed) == list(range(first, last + 1)) else 0
    return [*others[:before], *_picked(call, indexed), *others[before:]]


def _picked(call: Call, indexed: Mapping[int, fx.Node]) -> Dims:
    """Dimensions of all indices broadcast against each other."""
    operands = [call.dims(node) for node in indexed.values()]
    shape = torch.broadcast_shapes(*([dim.size for dim in dims] for dims in operands))  # type: ignore[no-untyped-call]
    return align(operands, shape, call.why)


def index_select(call: Call) -> Value:
    dims, at = call.dims("self"), call.dim()
    freeze(dims[at], call.why)
    return [*dims[:at], *(call.dims("index") or [constant(1, "size 1")]), *dims[at + 1 :]]


def gather(indices: str) -> Rule:
    """Indices run along one dimension of the source, and beside all others."""

    def rule(call: Call) -> Value:
        places = call.dims(indices)
        _beside(call, call.dims("self"), places)
        return places

    return rule


def scatter(call: Call) -> Value:
    """What is written has the indices' dimensions; one of them runs along the target, the others beside it."""
    dims, places = call.dims("self"), call.dims("index")
    _beside(call, dims, places)
    if call.node.target is not aten.scatter.value:
        _beside(call, call.dims("src"), places)
    return dims


def _beside(call: Call, dims: Dims, places: Dims) -> None:
    """Equate dimensions of a tensor and of indices into it, but for the indexed one and where only a part is used."""
    at = call.dim()
    for i, (dim, place) in enumerate(zip(dims, places, strict=True)):
        if i != at and dim.size == place.size:
            unify(dim, place, call.why)
        else:
            freeze(dim, call.why)
            freeze(place, call.why)


def index_write(call: Call) -> Value:
    """index_add and index_copy: rows of the source go to the rows that the indices name."""
    dims, source, at = call.dims("self"), call.dims("source"), call.dim()
    freeze(dims[at], call.why)
    unify_all(zip(call.dims("index"), source[at : at + 1], strict=False), call.why)
    others = (i for i in range(len(dims)) if i != at)
    unify_all(((dims[i], source[i]) for i in others), call.why)
    return dims


def one_hot(call: Call) -> Value:
    return [*call.dims(0), constant(call.shape[-1], call.why)]


INDEXING: Mapping[Any, Rule] = {
    aten.gather.default: gather("index"),
    aten.index.Tensor: index,
    aten.index_add.default: index_write,
    aten.index_copy.default: index_write,
    aten.index_put.default: index_put,
    aten.index_select.default: index_select,
    aten.one_hot.default: one_hot,
    aten.scatter.src: scatter,
    aten.scatter.value: scatter,
    aten.scatter_add.default: scatter,
    aten.scatter_reduce.two: scatter,
}
