"""Which contractions are exact: a sum over an axis changes nothing if what is removed from it was zero.

A matrix product of two activations, or a sum, runs over an axis without parameters of its own, so zero parameters do
not suffice: the values themselves must be zero. `ZeroFlow` follows through the graph where they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import fx

from modelpress.graph.axes import zeros, zeros_leaves
from modelpress.graph.axes.call import Contraction, Value
from modelpress.graph.axes.expr import atoms, mark_inexact
from modelpress.graph.axes.zero_flow import NOWHERE, Follow, ZeroFlow

FOLLOW: Mapping[Any, Follow] = {**zeros.FOLLOW}


def mark_contractions(module: fx.GraphModule, values: Mapping[fx.Node, Value], found: list[Contraction]) -> None:
    """Mark the axes inexact that a contraction runs over, unless one of its factors is zero where they are."""
    flow = ZeroFlow(module, values, FOLLOW, zeros_leaves.LEAVES)
    for contraction in found:
        zero = NOWHERE.union(*(flow.zeros[source] for source in contraction.sources))
        for dim in contraction.dims:
            for atom in atoms(dim):
                if atom not in zero:
                    mark_inexact(atom, contraction.operator)
