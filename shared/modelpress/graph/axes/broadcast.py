"""How dimensions meet when tensors are broadcast against each other."""

from __future__ import annotations

from collections.abc import Sequence

from modelpress.graph.axes.expr import Dims, Expr, constant
from modelpress.graph.axes.unify import unify


def align(operands: Sequence[Dims], shape: Sequence[int], why: str) -> Dims:
    """Dimensions of a result of ``shape``; those of the operands that are not of size 1 are equated, from the last."""
    return [_meet([dims[-k] for dims in operands if k <= len(dims)], shape[-k], why) for k in range(len(shape), 0, -1)]


def broadcast_sizes(operands: Sequence[Dims]) -> list[int]:
    """The shape of ``operands`` broadcast against each other."""
    rank = max(len(dims) for dims in operands)
    return [max(dims[-k].size for dims in operands if k <= len(dims)) for k in range(rank, 0, -1)]


def _meet(dims: list[Expr], size: int, why: str) -> Expr:
    full = [dim for dim in dims if dim.size == size]
    for other in full[1:]:
        unify(full[0], other, why)
    return full[0] if full else constant(size, why)
