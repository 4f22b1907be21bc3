"""What a tensor dimension is made of: atoms, products of them (views) and sums of them (concatenations).

An `Atom` is an index space with a size. `Product` lists factors from major to minor, as row-major flattening orders
them; `Sum` lists segments in the order of concatenation. Atoms are bound to other expressions as operators equate
dimensions (union-find with structure), so an expression is read through `resolve`.

The idea of groups of coupled dimensions: Fang et al., "DepGraph: Towards Any Structural Pruning", 2023,
arXiv:2301.12900. Differs from it: groups are index spaces inside a dimension, not whole dimensions of layers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(eq=False)
class Atom:
    """An index space. ``frozen`` says what forbids removing from it, ``inexact`` what makes removing approximate."""

    size: int
    frozen: str = ""
    inexact: str = ""
    bound: Expr | None = None


@dataclass(eq=False)
class Product:
    """Factors, major to minor."""

    parts: Sequence[Expr]

    @property
    def size(self) -> int:
        return math.prod(part.size for part in self.parts)


@dataclass(eq=False)
class Sum:
    """Segments, in order."""

    parts: Sequence[Expr]

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)


Expr = Atom | Product | Sum
Dims = list[Expr]


def constant(size: int, why: str) -> Atom:
    """An index space that nothing may be removed from."""
    return Atom(size, frozen=why)


def constants(sizes: Iterable[int], why: str) -> Dims:
    return [constant(size, why) for size in sizes]


def resolve(expr: Expr) -> Expr:
    """What ``expr`` has been bound to by now."""
    while isinstance(expr, Atom) and expr.bound is not None:
        expr = expr.bound
    return expr


def atoms(expr: Expr) -> list[Atom]:
    """The unbound atoms of ``expr`` in order, with repetitions."""
    expr = resolve(expr)
    return [expr] if isinstance(expr, Atom) else [atom for part in expr.parts for atom in atoms(part)]


def factors(expr: Expr) -> list[Expr]:
    """``expr`` as a product, major to minor, without factors of size 1."""
    expr = resolve(expr)
    if isinstance(expr, Product):
        return [factor for part in expr.parts for factor in factors(part)]
    return [] if expr.size == 1 else [expr]


def segments(expr: Expr) -> list[Expr]:
    """``expr`` as a concatenation."""
    expr = resolve(expr)
    return [segment for part in expr.parts for segment in segments(part)] if isinstance(expr, Sum) else [expr]


def product(parts: Iterable[Expr]) -> Expr:
    """The product of ``parts``, as simple as it can be."""
    flat = [factor for part in parts for factor in factors(part)]
    if not flat:
        return constant(1, "size 1")
    return flat[0] if len(flat) == 1 else Product(flat)


def total(parts: Iterable[Expr]) -> Expr:
    """The concatenation of ``parts``, as simple as it can be."""
    flat = [segment for part in parts for segment in segments(part)]
    return flat[0] if len(flat) == 1 else Sum(flat)


def freeze(expr: Expr, why: str) -> None:
    """Forbid removing from ``expr``; the first reason given to an atom stays."""
    for atom in atoms(expr):
        atom.frozen = atom.frozen or why


def mark_inexact(expr: Expr, operator: str) -> None:
    """Note that ``operator`` runs over ``expr``; the first one given to an atom stays."""
    for atom in atoms(expr):
        atom.inexact = atom.inexact or operator


def bind(atom: Atom, expr: Expr) -> bool:
    """Make ``atom`` stand for ``expr``, which inherits its marks. False where ``expr`` contains ``atom`` itself."""
    inside = atoms(expr)
    if any(other is atom for other in inside):
        return False
    for other in inside:
        other.frozen = other.frozen or atom.frozen
        other.inexact = other.inexact or atom.inexact
    atom.bound = expr
    return True
