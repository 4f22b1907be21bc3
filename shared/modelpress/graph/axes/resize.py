"""What a resizer works with: the counterpart of an operator's rule, which writes new sizes into its arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, fx

from modelpress.graph.axes.axis import Axes
from modelpress.graph.axes.expr import Dims, Expr
from modelpress.graph.axes.indices import Keep, kept, kept_size


@dataclass(frozen=True)
class Resizer:
    """What a node's arguments and leaf were, and what stays."""

    axes: Axes
    keep: Keep

    def size(self, expr: Expr) -> int:
        return kept_size(expr, self.keep)

    def kept(self, expr: Expr) -> Tensor:
        """Positions that stay, int64."""
        return kept(expr, self.keep)

    def dims(self, node: fx.Node) -> Dims:
        """Dimensions of a node that gives one tensor."""
        value = self.axes.values[node.name]
        if not isinstance(value, list):
            raise TypeError(f"{node} does not give one tensor")
        return value

    def source(self, node: fx.Node) -> Dims:
        """Dimensions of a node's first input."""
        return self.dims(node.all_input_nodes[0])

    def parts(self, node: fx.Node) -> tuple[Dims, ...]:
        """Dimensions of a node that gives several tensors."""
        value = self.axes.values[node.name]
        if not isinstance(value, tuple):
            raise TypeError(f"{node} does not give several tensors")
        return tuple(part for part in value if isinstance(part, list))

    def changed(self, dims: Sequence[Expr]) -> bool:
        return any(self.size(dim) != dim.size for dim in dims)


OperatorResize = Callable[[fx.Node, Resizer], None]
