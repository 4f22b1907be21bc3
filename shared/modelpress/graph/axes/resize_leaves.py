"""Writing new sizes where a leaf module keeps them beside its parameters: the counterpart of the leaves' rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from modelpress.constraints.stack import shape_of
from modelpress.errors import InputError
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


def convolution_transposed(
    leaf: nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d, x: Dims, resizer: Resizer
) -> None:
    """The kernel has all channels in and the channels out of one group; the groups are a factor of the channels in."""
    pieces = split(x[-leaf.weight.ndim + 1], leaf.groups, "groups")
    leaf.groups = resizer.size(pieces[0]) if pieces is not None else leaf.groups
    leaf.in_channels, leaf.out_channels = leaf.weight.shape[0], leaf.weight.shape[1] * leaf.groups


def batch_norm(leaf: _BatchNorm, x: Dims, resizer: Resizer) -> None:
    leaf.num_features = resizer.size(x[1])


def layer_norm(leaf: nn.LayerNorm | nn.RMSNorm, x: Dims, resizer: Resizer) -> None:
    leaf.normalized_shape = tuple(resizer.size(dim) for dim in x[-len(leaf.normalized_shape) :])


def group_norm(leaf: nn.GroupNorm, x: Dims, resizer: Resizer) -> None:
    pieces = split(x[1], leaf.num_groups, "group norm")
    if pieces is not None:  # None where nothing of the channels may go
        leaf.num_groups, leaf.num_channels = resizer.size(pieces[0]), resizer.size(x[1])


def embedding(leaf: nn.Embedding, x: Dims, resizer: Resizer) -> None:
    leaf.num_embeddings, leaf.embedding_dim = leaf.weight.shape


def recurrent(leaf: nn.RNNBase, x: Dims, resizer: Resizer) -> None:
    """What a step reads back are its units, or their projection."""
    leaf.input_size = shape_of(leaf, "weight_ih_l0")[1]
    if leaf.proj_size:
        leaf.proj_size, leaf.hidden_size = shape_of(leaf, "weight_hr_l0")
        _check_projection(leaf)
    else:
        leaf.hidden_size = shape_of(leaf, "weight_hh_l0")[1]
    leaf.flatten_parameters()


def _shape(leaf: nn.Module, name: str) -> Sequence[int]:
    tensor: Tensor = getattr(leaf, name)
    return tensor.shape


def _check_projection(leaf: nn.RNNBase) -> None:
    """torch tells a projection by its size, which must be below that of what is projected."""
    if leaf.proj_size >= leaf.hidden_size:
        raise InputError(
            f"an LSTM would be left with {leaf.hidden_size} hidden units and a projection of {leaf.proj_size}; "
            f"keep at least {leaf.proj_size + 1} hidden units, or fewer of the projection"
        )


LEAVES: Mapping[type[nn.Module], LeafResize] = {
    nn.Linear: linear,
    nn.Conv1d: convolution,
    nn.Conv2d: convolution,
    nn.Conv3d: convolution,
    nn.ConvTranspose1d: convolution_transposed,
    nn.ConvTranspose2d: convolution_transposed,
    nn.ConvTranspose3d: convolution_transposed,
    _BatchNorm: batch_norm,
    nn.LayerNorm: layer_norm,
    nn.RMSNorm: layer_norm,
    nn.GroupNorm: group_norm,
    nn.Embedding: embedding,
    nn.RNNBase: recurrent,
}


def resize_leaf(leaf: nn.Module, node: fx.Node, resizer: Resizer) -> None:
    """Rewrite the sizes that a leaf keeps beside its parameters, which are sliced already."""
    for kind in type(leaf).__mro__:
        if kind in LEAVES:
            LEAVES[kind](leaf, resizer.dims(node.all_input_nodes[0]), resizer)
            return
