"""Which contractions are exact: a sum over an axis changes nothing if what is removed from it was zero.

A matrix product of two activations, or a sum, runs over an axis without parameters of its own, so zero parameters do
not suffice: the values themselves must be zero. This follows through the graph where they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx, nn

from modelpress.graph.axes.call import Contraction, Value, argument
from modelpress.graph.axes.expr import Atom, atoms, mark_inexact
from modelpress.graph.axes.leaves import LEAVES
from modelpress.graph.axes.movement import MOVEMENT, same

aten = torch.ops.aten
Zeros = frozenset[Atom]
"""Atoms at whose indices a value is zero once every parameter tied to those indices is."""

NOWHERE: Zeros = frozenset()
Follow = Callable[[fx.Node, "ZeroFlow"], Zeros]


def mark_contractions(module: fx.GraphModule, values: Mapping[fx.Node, Value], found: list[Contraction]) -> None:
    """Mark the axes inexact that a contraction runs over, unless one of its factors is zero where they are."""
    flow = ZeroFlow(module, values)
    for contraction in found:
        zeros = NOWHERE.union(*(flow.zeros[source] for source in contraction.sources))
        for dim in contraction.dims:
            for atom in atoms(dim):
                if atom not in zeros:
                    mark_inexact(atom, contraction.operator)


class ZeroFlow:
    """Zeros of every value of a graph, by one pass from its start."""

    def __init__(self, module: fx.GraphModule, values: Mapping[fx.Node, Value]) -> None:
        self.module = module
        self.values = values
        self.zeros: dict[fx.Node, Zeros] = {}
        for node in module.graph.nodes:
            self.zeros[node] = self._of(node) & self.atoms(node)

    def atoms(self, node: fx.Node) -> Zeros:
        """Every atom of the dimensions of a node's value."""
        return frozenset(self._counted(node))

    def repeated(self, node: fx.Node) -> Zeros:
        """The atoms that occur there more than once."""
        return frozenset(atom for atom, count in self._counted(node).items() if count > 1)

    def _counted(self, node: fx.Node) -> Counter[Atom]:
        value = self.values.get(node) or []
        dims = [dim for part in value for dim in part] if isinstance(value, tuple) else value
        return Counter(atom for dim in dims for atom in atoms(dim))

    def _of(self, node: fx.Node) -> Zeros:
        if node.op == "get_attr":
            owner, _, name = str(node.target).rpartition(".")
            tensor = getattr(self.module.get_submodule(owner), name)
            return self.atoms(node) if isinstance(tensor, nn.Parameter) else NOWHERE
        if node.op == "call_module":
            return self._of_leaf(node, self.module.get_submodule(str(node.target)))
        follow = FOLLOW.get(node.target)
        return follow(node, self) if follow is not None else NOWHERE

    def _of_leaf(self, node: fx.Node, leaf: nn.Module) -> Zeros:
        """A leaf with weights writes zeros where they are zero, in its last dimension or its channels."""
        kind = next((kind for kind in type(leaf).__mro__ if kind in LEAVES), None)
        if kind is None:
            return NOWHERE
        if LEAVES[kind].rule is same:
            return passes(node, self)
        if getattr(leaf, "weight", None) is None:
            return NOWHERE
        value = self.values[node]
        if not isinstance(value, list):
            return NOWHERE
        return frozenset(atoms(value[-1] if kind in _WRITE_LAST else value[1]))


_WRITE_LAST = (nn.Linear, nn.LayerNorm, nn.Embedding)


def passes(node: fx.Node, flow: ZeroFlow) -> Zeros:
    """Zeros of the first argument stay zeros."""
    return flow.zeros[node.all_input_nodes[0]]


def any_factor(node: fx.Node, flow: ZeroFlow) -> Zeros:
    """A product is zero where one of its factors is; along an atom that it has twice, only where all are."""
    zeros = [flow.zeros[source] for source in node.all_input_nodes]
    return NOWHERE.union(*zeros) - (flow.repeated(node) - zeros[0].intersection(*zeros))


def matrix_product(node: fx.Node, flow: ZeroFlow) -> Zeros:
    """As `any_factor`, but what is summed over says nothing about another dimension along the same atom."""
    left, right = node.all_input_nodes[0], node.all_input_nodes[-1]
    value = flow.values[left]
    summed = frozenset(atoms(value[-1])) if isinstance(value, list) else NOWHERE
    return any_factor(node, flow) - (summed - (flow.zeros[left] & flow.zeros[right]))


def every_term(node: fx.Node, flow: ZeroFlow) -> Zeros:
    """A sum is zero where all its terms are; a number is a term too."""
    other = argument(node, "other")
    if not isinstance(other, fx.Node):
        return passes(node, flow) if other == 0 else NOWHERE
    return flow.zeros[node.all_input_nodes[0]] & flow.zeros[other]


def numerator(node: fx.Node, flow: ZeroFlow) -> Zeros:
    """Zero over something that is not."""
    other = argument(node, "other")
    return passes(node, flow) - (flow.zeros[other] if isinstance(other, fx.Node) else NOWHERE)


def every_part(node: fx.Node, flow: ZeroFlow) -> Zeros:
    """A concatenation is zero at an index where each part that has it is."""
    parts = node.all_input_nodes
    return frozenset(
        atom for atom in flow.atoms(node) if all(atom in flow.zeros[p] or atom not in flow.atoms(p) for p in parts)
    )


def within(low: str, high: str) -> Follow:
    """Clamping keeps zero where its range holds it."""

    def follow(node: fx.Node, flow: ZeroFlow) -> Zeros:
        least, most = argument(node, low), argument(node, high)
        holds_zero = (least is None or least <= 0) and (most is None or most >= 0)
        return passes(node, flow) if holds_zero else NOWHERE

    return follow


def power(node: fx.Node, flow: ZeroFlow) -> Zeros:
    return passes(node, flow) if argument(node, "exponent") > 0 else NOWHERE


_KEEP_ZERO = (
    aten.abs.default, aten.elu.default, aten.gelu.default, aten.hardswish.default, aten.leaky_relu.default,
    aten.mish.default, aten.neg.default, aten.relu.default, aten.relu6.default, aten.silu.default, aten.sqrt.default,
    aten.tanh.default, aten.mul.Scalar, aten.div.Scalar, aten.mean.dim, aten.sum.dim_IntList, aten.amax.default,
    aten.amin.default, aten.adaptive_avg_pool1d.default, aten.adaptive_avg_pool2d.default, aten.avg_pool1d.default,
    aten.avg_pool2d.default, aten.max_pool1d.default, aten.max_pool2d.default, aten.adaptive_max_pool2d.default,
)  # fmt: skip

FOLLOW: Mapping[Any, Follow] = {
    **dict.fromkeys(MOVEMENT, passes),
    **dict.fromkeys(_KEEP_ZERO, passes),
    **dict.fromkeys((aten.matmul.default, aten.bmm.default), matrix_product),
    **dict.fromkeys((aten.add.Tensor, aten.add.Scalar, aten.sub.Tensor, aten.sub.Scalar), every_term),
    **dict.fromkeys((aten.maximum.default, aten.minimum.default), every_term),
    aten.mul.Tensor: any_factor,
    aten.div.Tensor: numerator,
    aten.cat.default: every_part,
    aten.clamp.default: within("min", "max"),
    aten.hardtanh.default: within("min_val", "max_val"),
    aten.pow.Tensor_Scalar: power,
}
