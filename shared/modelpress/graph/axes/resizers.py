"""The resizers of all operators, of whichever file: what `analysis.OPERATORS` is to the rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import fx

from modelpress.graph.axes import movement, pieces, repeating, resampling, resize_functional
from modelpress.graph.axes.resize import OperatorResize, Resizer

OPERATORS: Mapping[Any, OperatorResize] = {
    **movement.RESIZERS,
    **pieces.RESIZERS,
    **repeating.RESIZERS,
    **resampling.RESIZERS,
    **resize_functional.OPERATORS,
}


def resize_operator(node: fx.Node, resizer: Resizer) -> None:
    """Rewrite the sizes among an operator's arguments."""
    if node.target in OPERATORS:
        OPERATORS[node.target](node, resizer)
