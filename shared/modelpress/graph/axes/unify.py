"""Equating expressions, and regrouping their factors as a view does.

Every function refines atoms in place. Where two structures cannot be reconciled both are frozen, never guessed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

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
    return _cut_product(expr, size, why)


def _cut_product(expr: Product, size: int, why: str) -> Pieces | None:
    """Whole rows before and after the cut, and the two parts of a row that it goes through."""
    major, *others = factors(expr)
    minor = product(others)
    rows, rest = divmod(size, minor.size)
    row = cut(minor, rest, why) if rest else ()
    tall = _cut_all(major, [rows, 1, major.size - rows - 1] if rest else [rows, 0, major.size - rows], why)
    if row is None or tall is None:
        return None
    before, _, after = (product([part, minor]) if part is not None else None for part in tall)
    head = [before, *row[:1]]
    tail = [*row[1:], after]
    return total(part for part in head if part is not None), total(part for part in tail if part is not None)


def _cut_all(expr: Expr, sizes: Sequence[int], why: str) -> list[Expr | None] | None:
    """Consecutive segments of ``sizes``, None for one of size 0."""
    parts: list[Expr | None] = []
    rest: Expr = expr
    for size in sizes:
        if size in (0, rest.size):
            parts.append(rest if size else None)
            continue
        pieces = cut(rest, size, why)
        if pieces is None:
            return None
        parts.append(pieces[0])
        rest = pieces[1]
    return parts


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
    """The dimensions after a view of ``dims`` as ``sizes``; what does not divide evenly is frozen, on both sides."""
    return [dim for old, new in _aligned(dims, sizes) for dim in _regrouped(old, new, why)]


def _aligned(dims: Dims, sizes: Sequence[int]) -> Iterator[tuple[Dims, list[int]]]:
    """The shortest runs of old dimensions and of new sizes that cover each other."""
    old: Dims = []
    new: list[int] = []
    a, b = deque(dims), deque(sizes)
    while a or b:
        if a and (not b or product(old).size <= math.prod(new)):
            old.append(a.popleft())
        else:
            new.append(b.popleft())
        if old and new and product(old).size == math.prod(new):
            yield old, new
            old, new = [], []
    if old or new:
        yield old, new


def _regrouped(dims: Dims, sizes: Sequence[int], why: str) -> Dims:
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
