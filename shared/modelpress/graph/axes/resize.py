"""Writing new sizes where a graph or a leaf module spells them out: the counterpart of the rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from modelpress.graph.axes.axis import Axes
from modelpress.graph.axes.call import argument, set_argument
from modelpress.graph.axes.expr import Dims, Expr
from modelpress.graph.axes.indices import Keep, kept, kept_size
from modelpress.graph.axes.movement import ranges
from modelpress.graph.axes.unify import split

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
LeafResize = Callable[[Any, Dims, Resizer], None]


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


def linear(leaf: nn.Linear, x: Dims, resizer: Resizer) -> None:
    leaf.out_features, leaf.in_features = leaf.weight.shape


def convolution(leaf: nn.Conv1d | nn.Conv2d | nn.Conv3d, x: Dims, resizer: Resizer) -> None:
    channels = x[-leaf.weight.ndim + 1]
    leaf.out_channels, leaf.in_channels = leaf.weight.shape[0], resizer.size(channels)
    leaf.groups = leaf.in_channels // leaf.weight.shape[1]


def batch_norm(leaf: _BatchNorm, x: Dims, resizer: Resizer) -> None:
    leaf.num_features = resizer.size(x[1])


def layer_norm(leaf: nn.LayerNorm, x: Dims, resizer: Resizer) -> None:
    leaf.normalized_shape = tuple(resizer.size(dim) for dim in x[-len(leaf.normalized_shape) :])


def group_norm(leaf: nn.GroupNorm, x: Dims, resizer: Resizer) -> None:
    pieces = split(x[1], leaf.num_groups, "group norm")
    if pieces is not None:  # None where nothing of the channels may go
        leaf.num_groups, leaf.num_channels = resizer.size(pieces[0]), resizer.size(x[1])


def embedding(leaf: nn.Embedding, x: Dims, resizer: Resizer) -> None:
    leaf.num_embeddings, leaf.embedding_dim = leaf.weight.shape


LEAVES: Mapping[type[nn.Module], LeafResize] = {
    nn.Linear: linear,
    nn.Conv1d: convolution,
    nn.Conv2d: convolution,
    nn.Conv3d: convolution,
    _BatchNorm: batch_norm,
    nn.LayerNorm: layer_norm,
    nn.GroupNorm: group_norm,
    nn.Embedding: embedding,
}


def resize_operator(node: fx.Node, resizer: Resizer) -> None:
    """Rewrite the sizes among an operator's arguments."""
    if node.target in OPERATORS:
        OPERATORS[node.target](node, resizer)


def resize_leaf(leaf: nn.Module, node: fx.Node, resizer: Resizer) -> None:
    """Rewrite the sizes that a leaf keeps beside its parameters, which are sliced already."""
    for kind in type(leaf).__mro__:
        if kind in LEAVES:
            LEAVES[kind](leaf, resizer.dims(node.all_input_nodes[0]), resizer)
            return
