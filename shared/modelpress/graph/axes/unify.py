"""Equating expressions, and regrouping their factors as a view does.

Every function refines atoms in place. Where two structures cannot be reconciled both are frozen, never guessed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from modelpress.graph.axes.expr import (
    Atom,
    Dims,
    Expr,
    Product,
    Sum,
    bind,
    constant,
    constants,
    factors,
    freeze,
    product,
    resolve,
    segments,
    total,
)

Pieces = tuple[Expr, Expr]


def unify(left: Expr, right: Expr, why: str) -> None:
    """Record that ``left`` and ``right`` are one index space; ``why`` is the reason given where they must freeze."""
    left, right = resolve(left), resolve(right)
    if left is right:
        return
    if left.size != right.size or not (_bound(left, right) or _matched(left, right, why)):
        freeze(left, why)
        freeze(right, why)


def unify_all(pairs: Iterable[tuple[Expr, Expr]], why: str) -> None:
    for left, right in pairs:
        unify(left, right, why)


def _bound(left: Expr, right: Expr) -> bool:
    if isinstance(left, Atom) and bind(left, right):
        return True
    return isinstance(right, Atom) and bind(right, left)


def _matched(left: Expr, right: Expr, why: str) -> bool:
    if isinstance(left, Atom) or isinstance(right, Atom):
        return False
    if isinstance(left, Sum) or isinstance(right, Sum):
        return _walk(segments(left), segments(right), cut, why)
    return _walk(factors(left), factors(right), split, why)


def _walk(left: list[Expr], right: list[Expr], divide: Callable[[Expr, int, str], Pieces | None], why: str) -> bool:
    """Unify two sequences pairwise; the larger of a pair is divided first, and its rest put back."""
    a, b = deque(left), deque(right)
    while a and b:
        x, y = a.popleft(), b.popleft()
        if x.size != y.size:
            (big, small, rest) = (x, y, a) if x.size > y.size else (y, x, b)
            pieces = divide(big, small.size, why)
            if pieces is None:
                return False
            x, y = pieces[0], small
            rest.appendleft(pieces[1])
        unify(x, y, why)
    return True


def cut(expr: Expr, size: int, why: str) -> Pieces | None:
    """``expr`` as a segment of ``size`` and the segment after it. None where its structure does not allow that."""
    expr = resolve(expr)
    if isinstance(expr, Atom):
        head, tail = Atom(size), Atom(expr.size - size)
        bind(expr, Sum([head, tail]))
        return head, tail
    if isinstance(expr, Sum):
        return _cut_segments(segments(expr), size, why)
    major, *minor = factors(expr)
    rows, rest = divmod(size, product(minor).size)
    pieces = None if rest else cut(major, rows, why)
    return pieces and (product([pieces[0], *minor]), product([pieces[1], *minor]))


def _cut_segments(parts: Sequence[Expr], size: int, why: str) -> Pieces | None:
    first, *others = parts
    if first.size == size:
        return first, total(others)
    if first.size > size:
        pieces = cut(first, size, why)
        return pieces and (pieces[0], total([pieces[1], *others]))
    pieces = _cut_segments(others, size - first.size, why)
    return pieces and (total([first, pieces[0]]), pieces[1])


def split(expr: Expr, size: int, why: str) -> Pieces | None:
    """``expr`` as a product of ``size`` (major) and the rest (minor). None where its structure does not allow that."""
    expr = resolve(expr)
    if size == 1:
        return constant(1, "size 1"), expr
    if size == expr.size:
        return expr, constant(1, "size 1")
    if size == 0 or expr.size % size:
        return None
    if isinstance(expr, Atom):
        major, minor = Atom(size), Atom(expr.size // size)
        bind(expr, Product([major, minor]))
        return major, minor
    return _split_product(expr, size, why) if isinstance(expr, Product) else _split_sum(expr, size, why)


def _split_product(expr: Product, size: int, why: str) -> Pieces | None:
    first, *others = factors(expr)
    if first.size >= size:
        pieces = split(first, size, why)
        return pieces and (pieces[0], product([pieces[1], *others]))
    if size % first.size:
        return None
    pieces = split(product(others), size // first.size, why)
    return pieces and (product([first, pieces[0]]), pieces[1])


def _split_sum(expr: Sum, size: int, why: str) -> Pieces | None:
    """Blocks of segments, each a multiple of the minor's size; the minors of all blocks are one index space."""
    unit = expr.size // size
    blocks = _blocks(segments(expr), unit)
    divided = [split(block, block.size // unit, why) for block in blocks or []]
    pieces = [piece for piece in divided if piece is not None]
    if not pieces or len(pieces) < len(divided):
        return None
    minor = pieces[0][1]
    unify_all([(minor, other) for _, other in pieces[1:]], why)
    if all(major.size == 1 for major, _ in pieces):
        return constant(size, why), minor
    return total(major for major, _ in pieces), minor


def _blocks(parts: Sequence[Expr], unit: int) -> list[Expr] | None:
    """Single segments that are a multiple of ``unit``, and runs of segments that make up one; None for other sums."""
    blocks: list[Expr] = []
    run: list[Expr] = []
    for part in parts:
        run.append(part)
        size = sum(p.size for p in run)
        if size % unit == 0 and (size == unit or len(run) == 1):
            blocks.append(total(run))
            run = []
    return None if run else blocks


def regroup(dims: Dims, sizes: Sequence[int], why: str) -> Dims:
    """The dimensions after a view of ``dims`` as ``sizes``; frozen, on both sides, where they do not divide evenly."""
    rest: Expr | None = product(dims)
    out: Dims = []
    for size in sizes:
        pieces = split(rest, size, why) if rest is not None else None
        if pieces is None:
            for dim in dims:
                freeze(dim, why)
            return constants(sizes, why)
        head, rest = pieces
        out.append(head)
    return out
