"""Writing new sizes where a graph spells them out: the counterpart of the operators' rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from modelpress.graph.axes.axis import Axes
from modelpress.graph.axes.call import argument, set_argument
from modelpress.graph.axes.expr import Dims, Expr
from modelpress.graph.axes.indices import Keep, kept, kept_size
from modelpress.graph.axes.movement import ranges

aten = torch.ops.aten


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

    def parts(self, node: fx.Node) -> tuple[Dims, ...]:
        """Dimensions of a node that gives several tensors."""
        value = self.axes.values[node.name]
        if not isinstance(value, tuple):
            raise TypeError(f"{node} does not give several tensors")
        return value

    def changed(self, dims: Sequence[Expr]) -> bool:
        return any(self.size(dim) != dim.size for dim in dims)


OperatorResize = Callable[[fx.Node, Resizer], None]


def sizes(name: str) -> OperatorResize:
    """Sizes of the output in argument ``name``: -1 and computed ones follow by themselves."""

    def resize(node: fx.Node, resizer: Resizer) -> None:
        _write_sizes(node, name, resizer.dims(node), resizer)

    return resize


def _write_sizes(node: fx.Node, name: str, dims: Dims, resizer: Resizer) -> None:
    old = argument(node, name)
    fixed = [resizer.size(d) if isinstance(n, int) and n != -1 else n for n, d in zip(old, dims, strict=True)]
    set_argument(node, name, fixed)


def unflatten(node: fx.Node, resizer: Resizer) -> None:
    dims, count = resizer.dims(node), len(argument(node, "sizes"))
    start = int(argument(node, "dim")) % len(resizer.dims(node.all_input_nodes[0]))
    _write_sizes(node, "sizes", dims[start : start + count], resizer)


def divided(node: fx.Node, resizer: Resizer) -> None:
    """chunk and split into equal parts become a split into the parts' own sizes where those change."""
    parts = resizer.parts(node)
    at = int(argument(node, "dim")) % len(parts[0])
    along = [dims[at] for dims in parts]
    if resizer.changed(along):
        node.args = (node.args[0], [resizer.size(dim) for dim in along], at)
        node.kwargs = {}
        node.target = aten.split_with_sizes.default


def narrowed(node: fx.Node, resizer: Resizer) -> None:
    """The range of a slice moves by what goes before and inside it."""
    source, target = resizer.dims(node.all_input_nodes[0]), resizer.dims(node)
    at = int(argument(node, "dim")) % len(source)
    if not resizer.changed([source[at]]) or source[at].size == target[at].size:
        return
    before, _, _ = ranges(source[at].size, argument(node, "start"), target[at].size)
    start = int((resizer.kept(source[at]) < before).sum())
    node.args = (node.args[0], at, start, start + resizer.size(target[at]))
    node.kwargs = {}


OPERATORS: Mapping[Any, OperatorResize] = {
    aten.view.default: sizes("size"),
    aten.reshape.default: sizes("shape"),
    aten.expand.default: sizes("size"),
    aten.unflatten.int: unflatten,
    aten.chunk.default: divided,
    aten.split.Tensor: divided,
    aten.split_with_sizes.default: divided,
    aten.slice.Tensor: narrowed,
}
