"""Rules of operators that run along dimensions: sums, means, softmax, sorting, distances.

Three kinds. What only adds up (`summation`) is exact where the values are zero. What counts or compares (`average`)
is approximate. What gives positions (`positions`) would give others after a removal, so the dimension stays.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch

from modelpress.graph.axes.broadcast import align, broadcast_sizes
from modelpress.graph.axes.call import Call, Value, argument_names
from modelpress.graph.axes.expr import Atom, Dims, constant, constants, freeze, mark_inexact, total
from modelpress.graph.axes.movement import Rule
from modelpress.graph.axes.unify import unify

aten = torch.ops.aten


def along(call: Call) -> Value:
    """softmax and its like: the dimension stays, each element depends on all of it."""
    dims = call.dims(0)
    mark_inexact(dims[call.dim()], call.operator)
    return dims


def running_sum(call: Call) -> Value:
    """The dimension stays; each element is a sum of those before it."""
    dims = call.dims(0)
    call.contract([dims[call.dim()]], call.source(0))
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


def norm(order: str) -> Rule:
    """A vector norm of ``order`` 0 (which counts what is not zero) or above adds up; below 0 zeros decide it."""

    def rule(call: Call) -> Value:
        p = call.argument(order)
        return summation(call) if p is None or p >= 0 else average(call)

    return rule


def both(rule: Rule) -> Rule:
    """Two outputs, each as ``rule`` says."""

    def pair(call: Call) -> Value:
        out = rule(call)
        return (out, out)

    return pair


def extreme(call: Call) -> Value:
    """max and min with their positions, which stay meaningful only where they are not used."""
    taken = {user.args[1] if user.target is operator.getitem else None for user in call.node.users}
    return both(average if taken <= {0} else positions)(call)


def positions(call: Call) -> Value:
    """Positions along the dimensions, so that none of these may change."""
    dims = call.dims(0)
    for i in _reduced(call):
        freeze(dims[i], f"its positions are values, {call.why}")
    return _without(call, dims)


def ordered(call: Call) -> Value:
    """Sorted along a dimension, which has no index of its own any more."""
    dims = call.dims(0)
    freeze(dims[call.dim()], f"sorted by {call.why}")
    return dims


def best(call: Call) -> Value:
    """topk: values and positions."""
    dims, at = list(call.dims(0)), call.dim()
    freeze(dims[at], f"sorted by {call.why}")
    dims[at] = constant(call.out_shapes[0][at], call.why)
    return (dims, dims)


def gated(call: Call) -> Value:
    """glu: the first half of a dimension times the sigmoid of the second."""
    dims, at = call.dims(0), call.dim()
    half = Atom(dims[at].size // 2)
    unify(dims[at], total([half, half]), call.why)
    return [*dims[:at], half, *dims[at + 1 :]]


def cosine(call: Call) -> Value:
    """Each vector is divided by its own length, so each must be zero where something goes."""
    left, right = call.dims("x1"), call.dims("x2")
    dims = align([left, right], broadcast_sizes([left, right]), call.why)
    at = call.dim(rank=len(dims))
    for source in ("x1", "x2"):
        call.contract([dims[at]], call.source(source))
    return [*dims[:at], *dims[at + 1 :]]


def pairwise_distance(call: Call) -> Value:
    """Of vectors along the last dimension; an epsilon is added to each difference, so that zeros count."""
    left, right = call.dims("x1"), call.dims("x2")
    unify(left[-1], right[-1], call.why)
    mark_inexact(left[-1], call.operator)
    kept = constants([1], "size 1") if call.argument("keepdim") else []
    batch = call.shape[: len(call.shape) - len(kept)]
    return [*align([left[:-1], right[:-1]], batch, call.why), *kept]


def distances(call: Call) -> Value:
    """cdist: [..., p, m] and [..., r, m] give [..., p, r]."""
    left, right = call.dims("x1"), call.dims("x2")
    unify(left[-1], right[-1], call.why)
    for source in ("x1", "x2"):
        call.contract([left[-1]], call.source(source))
    return [*align([left[:-2], right[:-2]], call.shape[:-2], call.why), left[-2], right[-2]]


def _reduced(call: Call) -> list[int]:
    """The dimensions that a reduction runs over; none given means all."""
    rank = len(call.dims(0))
    dim = call.argument("dim") if "dim" in argument_names(call.node) else None
    chosen = [dim] if isinstance(dim, int) else list(dim or range(rank))
    return [int(i) % rank for i in chosen]


def _without(call: Call, dims: Dims) -> Dims:
    reduced = _reduced(call)
    if "keepdim" in argument_names(call.node) and call.argument("keepdim"):
        return [constant(1, "size 1") if i in reduced else dim for i, dim in enumerate(dims)]
    return [dim for i, dim in enumerate(dims) if i not in reduced]


AVERAGES = (
    aten.mean.default, aten.mean.dim, aten.amax.default, aten.amin.default, aten.max.default, aten.min.default,
    aten.prod.default, aten.prod.dim_int, aten.std.correction, aten.std.dim, aten.var.correction, aten.var.dim,
    aten.logsumexp.default, aten.all.default, aten.all.dim,
)  # fmt: skip
SUMS = (
    aten.sum.default, aten.sum.dim_IntList, aten.any.default, aten.any.dim, aten.count_nonzero.dim_IntList,
)  # fmt: skip

REDUCTIONS: Mapping[Any, Rule] = {
    **dict.fromkeys(AVERAGES, average),
    **dict.fromkeys(SUMS, summation),
    aten.linalg_vector_norm.default: norm("ord"),
    aten.norm.ScalarOpt_dim: norm("p"),
    **dict.fromkeys((aten.var_mean.correction, aten.std_mean.correction), both(average)),
    **dict.fromkeys((aten.max.dim, aten.min.dim), extreme),
    **dict.fromkeys((aten.argmax.default, aten.argmin.default), positions),
    **dict.fromkeys((aten.softmax.int, aten.log_softmax.int, aten.cumprod.default), along),
    aten.cumsum.default: running_sum,
    aten.sort.default: both(ordered),
    aten.argsort.default: ordered,
    aten.topk.default: best,
    aten.glu.default: gated,
    aten.cosine_similarity.default: cosine,
    aten.pairwise_distance.default: pairwise_distance,
    aten.cdist.default: distances,
}
