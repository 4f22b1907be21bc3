"""Where the indices of an atom lie along a dimension, and which positions stay when some of them go."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from modelpress.graph.axes.expr import Atom, Expr, Product, Sum, atoms, resolve

Keep = Mapping[Atom, Tensor]


def kept(expr: Expr, keep: Keep) -> Tensor:
    """Positions of ``expr`` that stay, int64, ascending, where ``keep`` gives the indices that stay of some atoms."""
    expr = resolve(expr)
    if not any(atom in keep for atom in atoms(expr)):
        return torch.arange(expr.size)
    if isinstance(expr, Atom):
        return keep[expr]
    if isinstance(expr, Sum):
        return torch.cat([kept(part, keep) + start for part, start in zip(expr.parts, _starts(expr), strict=True)])
    positions = torch.zeros(1, dtype=torch.long)
    for part in expr.parts:
        positions = (positions[:, None] * part.size + kept(part, keep)).reshape(-1)
    return positions


def kept_size(expr: Expr, keep: Keep) -> int:
    """How many positions of ``expr`` stay."""
    expr = resolve(expr)
    if isinstance(expr, Atom):
        return len(keep[expr]) if expr in keep else expr.size
    sizes = [kept_size(part, keep) for part in expr.parts]
    return sum(sizes) if isinstance(expr, Sum) else int(torch.Size(sizes).numel())


def positions(expr: Expr, atom: Atom) -> Tensor:
    """Row ``i``: the positions of ``expr`` that belong to index ``i`` of ``atom``; int64 [atom.size, n], n may be 0."""
    expr = resolve(expr)
    if expr is atom:
        return torch.arange(atom.size)[:, None]
    if isinstance(expr, Atom):
        return torch.empty(atom.size, 0, dtype=torch.long)
    if isinstance(expr, Sum):
        offsets = zip(expr.parts, _starts(expr), strict=True)
        return torch.cat([positions(part, atom) + start for part, start in offsets], dim=1)
    return torch.cat([_through_factor(expr, k, atom) for k in range(len(expr.parts))], dim=1)


def _through_factor(expr: Product, factor: int, atom: Atom) -> Tensor:
    """Positions of a product that belong to ``atom`` by its k-th factor, any index of the other factors."""
    inner = positions(expr.parts[factor], atom)
    before = Product(expr.parts[:factor]).size
    after = Product(expr.parts[factor + 1 :]).size
    middle = expr.parts[factor].size
    rows = torch.arange(before)[:, None, None] * middle + inner[:, None, :, None]
    return (rows * after + torch.arange(after)).reshape(atom.size, -1)


def _starts(expr: Sum) -> list[int]:
    starts, start = [], 0
    for part in expr.parts:
        starts.append(start)
        start += part.size
    return starts


def copies(expr: Expr, atom: Atom) -> int:
    """How many positions of ``expr`` belong to one index of ``atom``: 49 where a 7 x 7 map was flattened."""
    expr = resolve(expr)
    if isinstance(expr, Atom):
        return int(expr is atom)
    if isinstance(expr, Sum):
        return sum(copies(part, atom) for part in expr.parts)
    return sum(copies(part, atom) * (expr.size // part.size) for part in expr.parts)
