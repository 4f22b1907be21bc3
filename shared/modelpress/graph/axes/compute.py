"""Rules of operators that compute: elementwise, reductions, matrix products, pooling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from modelpress.graph.axes.broadcast import align
from modelpress.graph.axes.call import Call, Value
from modelpress.graph.axes.expr import Dims, constant, constants, freeze, mark_inexact
from modelpress.graph.axes.movement import Rule, same
from modelpress.graph.axes.unify import unify

aten = torch.ops.aten


def elementwise(call: Call) -> Value:
    return align(call.tensors(), call.shape, call.why)


def along(call: Call) -> Value:
    """softmax and its like: the dimension stays, each element depends on all of it."""
    dims = call.dims(0)
    mark_inexact(dims[call.dim()], call.operator)
    return dims


def average(call: Call) -> Value:
    """A reduction that counts the elements or compares them."""
    dims = call.dims(0)
    for i in _reduced(call):
        mark_inexact(dims[i], call.operator)
    return _without(call, dims)


def summation(call: Call) -> Value:
    dims = call.dims(0)
    call.contract([dims[i] for i in _reduced(call)], call.source(0))
    return _without(call, dims)


def _reduced(call: Call) -> list[int]:
    """The dimensions that a reduction runs over; none given means all."""
    rank, dim = len(call.dims(0)), call.argument("dim")
    chosen = [dim] if isinstance(dim, int) else list(dim or range(rank))
    return [int(i) % rank for i in chosen]


def _without(call: Call, dims: Dims) -> Dims:
    reduced = _reduced(call)
    if call.argument("keepdim"):
        return [constant(1, "size 1") if i in reduced else dim for i, dim in enumerate(dims)]
    return [dim for i, dim in enumerate(dims) if i not in reduced]


def matrix_product(right: str) -> Rule:
    """matmul and bmm of [..., m, k] and [..., k, n]; vectors as matmul takes them."""

    def rule(call: Call) -> Value:
        a, b = call.dims("self"), call.dims(right)
        inner = b[-2] if len(b) > 1 else b[-1]
        unify(a[-1], inner, call.why)
        call.contract([inner], call.source("self"), call.source(right))
        rows, columns = a[-2:-1], b[-1:] if len(b) > 1 else []
        batch = call.shape[: len(call.shape) - len(rows) - len(columns)]
        return [*align([a[:-2], b[:-2]], batch, call.why), *rows, *columns]

    return rule


def linear(call: Call) -> Value:
    """A linear operator whose weight is computed in the graph."""
    x, weight = call.dims("input"), call.dims("weight")
    unify(x[-1], weight[1], call.why)
    if call.has("bias"):
        unify(weight[0], call.dims("bias")[0], call.why)
    call.contract([weight[1]], call.source("input"), call.source("weight"))
    return [*x[:-1], weight[0]]


def pool(spatial: int) -> Rule:
    """Pooling over the last dimensions, which must stay as they are."""

    def rule(call: Call) -> Value:
        dims = call.dims(0)
        for dim in dims[-spatial:]:
            freeze(dim, f"pooled by {call.why}")
        return [*dims[:-spatial], *constants(call.shape[-spatial:], f"pooled by {call.why}")]

    return rule


COMPUTE: Mapping[Any, Rule] = {
    aten.hardswish.default: same,
    aten.softmax.int: along,
    aten.log_softmax.int: along,
    aten.mean.dim: average,
    aten.amax.default: average,
    aten.amin.default: average,
    aten.sum.dim_IntList: summation,
    aten.matmul.default: matrix_product("other"),
    aten.bmm.default: matrix_product("mat2"),
    aten.linear.default: linear,
    aten.adaptive_avg_pool1d.default: pool(1),
    aten.avg_pool1d.default: pool(1),
    aten.max_pool1d.default: pool(1),
    aten.adaptive_avg_pool2d.default: pool(2),
    aten.adaptive_max_pool2d.default: pool(2),
    aten.avg_pool2d.default: pool(2),
    aten.max_pool2d.default: pool(2),
}
