"""Where the values of a graph are zero, once the parameters of some indices are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import fx, nn

from modelpress.constraints.stack import is_parameter
from modelpress.graph.axes.call import Value, tensors
from modelpress.graph.axes.expr import Atom, Dims, Expr, atoms

Zeros = frozenset[Atom]
"""Atoms at whose indices, along any dimension that has them, a value is zero once every parameter tied to them is."""

NOWHERE: Zeros = frozenset()


@dataclass
class ZeroFlow:
    """Zeros of every value of a graph, by one pass from its start; of a tuple, those that each of its parts has.

    ``operators`` and ``leaves`` say how zeros flow through a target and a type of leaf; what they lack is taken to be
    zero nowhere, which at worst marks an exact axis inexact.
    """

    module: fx.GraphModule
    values: Mapping[fx.Node, Value]
    operators: Mapping[Any, Follow]
    leaves: Mapping[type[nn.Module], Follow]
    zeros: dict[fx.Node, Zeros] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in self.module.graph.nodes:
            self.zeros[node] = self._of(node) & frozenset(self.count(node))

    def dims(self, node: fx.Node) -> Dims:
        """Of a node that gives one tensor; none for others."""
        value = self.values.get(node)
        return value if isinstance(value, list) else []

    def count(self, node: fx.Node) -> Counter[Atom]:
        """How often each atom occurs in the dimensions of a node's value."""
        return sum(self.counts(node), Counter())

    def counts(self, node: fx.Node) -> list[Counter[Atom]]:
        """As `count`, for each tensor of the node's value."""
        return [Counter(atom for dim in dims for atom in atoms(dim)) for dims in tensors(self.values.get(node))]

    def leaf(self, node: fx.Node) -> nn.Module:
        """The leaf that a node calls."""
        return self.module.get_submodule(str(node.target))

    def _of(self, node: fx.Node) -> Zeros:
        if node.op == "get_attr":
            owner, _, name = str(node.target).rpartition(".")
            trained = is_parameter(self.module.get_submodule(owner), name)
            return frozenset(self.count(node)) if trained else NOWHERE
        follow = self._follow(node)
        return follow(node, self) if follow is not None else NOWHERE

    def _follow(self, node: fx.Node) -> Follow | None:
        if node.op == "call_module":
            kinds = type(self.leaf(node)).__mro__
            return next((self.leaves[kind] for kind in kinds if kind in self.leaves), None)
        return self.operators.get(node.target)


Follow = Callable[[fx.Node, ZeroFlow], Zeros]


@dataclass(frozen=True)
class Part:
    """A factor or a term of an output: where it is zero, and which of the output's dimensions it has."""

    zeros: Zeros
    has: frozenset[int]


def of_factors(out: Dims, factors: Iterable[Part]) -> Zeros:
    """A product is zero at an atom if each dimension with that atom belongs to a factor that is zero there."""
    found = list(factors)
    return frozenset(
        atom
        for atom, places in _places(out).items()
        if places <= frozenset().union(*(part.has for part in found if atom in part.zeros))
    )


def of_terms(out: Dims, terms: Iterable[Part]) -> Zeros:
    """A sum is zero at an atom if each term is, along every dimension with that atom."""
    found = list(terms)
    return frozenset(
        atom
        for atom, places in _places(out).items()
        if all(atom in part.zeros and places <= part.has for part in found)
    )


def _places(dims: Iterable[Expr]) -> dict[Atom, frozenset[int]]:
    """The dimensions that each atom is in."""
    found: dict[Atom, frozenset[int]] = {}
    for i, dim in enumerate(dims):
        for atom in atoms(dim):
            found[atom] = found.get(atom, frozenset()) | {i}
    return found


def broadcast(dims: Dims, out: Dims) -> frozenset[int]:
    """The dimensions of ``out`` that an operand of ``dims`` has when it is broadcast."""
    return frozenset(len(out) - k for k in range(1, len(dims) + 1) if dims[-k].size == out[-k].size)
