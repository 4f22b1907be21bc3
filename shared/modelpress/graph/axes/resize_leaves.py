"""Writing new sizes where a leaf module keeps them beside its parameters: the counterpart of the leaves' rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from modelpress.graph.axes.expr import Dims
from modelpress.graph.axes.resize import Resizer
from modelpress.graph.axes.unify import split

LeafResize = Callable[[Any, Dims, Resizer], None]


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


def resize_leaf(leaf: nn.Module, node: fx.Node, resizer: Resizer) -> None:
    """Rewrite the sizes that a leaf keeps beside its parameters, which are sliced already."""
    for kind in type(leaf).__mro__:
        if kind in LEAVES:
            LEAVES[kind](leaf, resizer.dims(node.all_input_nodes[0]), resizer)
            return
