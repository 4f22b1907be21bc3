"""The rule of the attention leaf."""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx

from modelpress.graph.axes.broadcast import align
from modelpress.graph.axes.call import Call, Value
from modelpress.graph.axes.expr import Atom, Dims, mark_inexact, product
from modelpress.graph.axes.unify import unify


def attention(call: Call) -> Value:
    """``query`` [..., n, d], ``key`` [..., m, d], ``value`` [..., m, e] give [..., n, e]; heads are among the others.

    Heads, and the channels e of each, go exactly. So do the channels d where a query or a key is zero: the scale is a
    number of the leaf and does not follow them. Attention is spread over the m by a softmax.
    """
    query, key, value = (call.dims(i) for i in range(3))
    unify(query[-1], key[-1], call.why)
    call.contract([query[-1]], call.source(0), call.source(1))
    unify(key[-2], value[-2], call.why)
    mark_inexact(key[-2], call.operator)
    batch = _grouped(call, query, key, value) if call.setting("grouped") else _batch(call, [query, key, value])
    mask = _mask(call.node)
    if mask is not None:
        scores: Dims = [*batch, query[-2], key[-2]]
        align([scores, call.dims(mask)], [dim.size for dim in scores], call.why)
    return [*batch, query[-2], value[-1]]


def _batch(call: Call, operands: Sequence[Dims]) -> Dims:
    return align([dims[:-2] for dims in operands], call.shape[:-2], call.why)


def _grouped(call: Call, query: Dims, key: Dims, value: Dims) -> Dims:
    """Each head of keys and values goes with its run of query heads; the same query head of each run may go too."""
    heads, shared = query[-3], key[-3]
    unify(shared, value[-3], call.why)
    unify(heads, product([shared, Atom(heads.size // shared.size)]), call.why)
    return [*align([dims[:-3] for dims in (query, key, value)], call.shape[:-3], call.why), heads]


def _mask(node: fx.Node) -> fx.Node | None:
    mask = node.args[3] if len(node.args) > 3 else node.kwargs.get("mask")
    return mask if isinstance(mask, fx.Node) else None
