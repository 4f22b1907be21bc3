"""Fold batch normalisation into the convolution or linear layer before it.

In evaluation ``bn(conv(x)) = conv'(x)`` with ``w' = w * g`` and ``b' = (b - mean) * g + beta``, where
``g = gamma / sqrt(var + eps)`` per output channel. Equal up to rounding.
Paper: Jacob et al. 2018, arXiv:1712.05877, section 3.2.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, fx, nn

from modelpress.constraints.affine import per_channel
from modelpress.constraints.attach import replace_stack
from modelpress.constraints.mask import Mask
from modelpress.constraints.stack import constraints_of, stored_of
from modelpress.graph.model import Model
from modelpress.graph.shapes import value_shapes

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def fold_batch_norm(model: Model) -> Model:
    """A copy of ``model`` in which every batch norm that follows a convolution or linear layer is part of it.

    Masks stay on what was folded: scaling a row moves no zero. Left alone: norms without running statistics, and
    layers that are called twice, are read by others too, or are under another constraint.
    """
    graph_module = copy.deepcopy(model.module)
    shapes = value_shapes(model)
    for norm_node in list(graph_module.graph.nodes):
        layer_node = _foldable_layer(graph_module, norm_node)
        if layer_node is not None and _mixes_positions(graph_module, layer_node, shapes):
            continue
        if layer_node is not None:
            fold_pair(_leaf(graph_module, layer_node), _leaf(graph_module, norm_node))
            norm_node.replace_all_uses_with(layer_node)
            graph_module.graph.erase_node(norm_node)
    graph_module.delete_all_unused_submodules()
    graph_module.recompile()
    return model.with_(module=graph_module)


@torch.no_grad()
def fold_pair(layer: nn.Module, norm: nn.Module) -> None:
    """Change ``layer``'s weight [o, ...] and bias [o] in place so that it does what ``norm`` did after it.

    Under a mask what is stored is folded, and the mask stays.
    """
    (weight,), bias = stored_of(layer, "weight"), layer.bias
    gain, shift = _gain_and_shift(norm)
    start = bias.double() if isinstance(bias, Tensor) else torch.zeros_like(shift)
    folded = weight.double() * per_channel(gain, weight)
    plain = nn.Parameter(folded.to(weight.dtype), requires_grad=weight.requires_grad)
    replace_stack(layer, "weight", [plain], constraints_of(layer, "weight"))
    layer.bias = nn.Parameter((start * gain + shift).to(weight.dtype), requires_grad=weight.requires_grad)


def _gain_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """``norm(x) = x * gain + shift`` in evaluation; both [o] float64."""
    mean, variance, eps = norm.running_mean, norm.running_var, norm.eps
    assert isinstance(mean, Tensor)
    assert isinstance(variance, Tensor)
    assert isinstance(eps, float)
    gain = torch.rsqrt(variance.double() + eps)
    if isinstance(norm.weight, Tensor):
        gain = gain * norm.weight.double()
    shift = -mean.double() * gain
    if isinstance(norm.bias, Tensor):
        shift = shift + norm.bias.double()
    return gain, shift


def _foldable_layer(graph_module: fx.GraphModule, norm_node: fx.Node) -> fx.Node | None:
    """The layer into which ``norm_node`` folds, or None when it is no batch norm or cannot fold."""
    if norm_node.op != "call_module" or not isinstance(_leaf(graph_module, norm_node), NORMS):
        return None
    layer_node = norm_node.args[0]
    if not isinstance(layer_node, fx.Node) or layer_node.op != "call_module" or len(layer_node.users) != 1:
        return None
    layer, norm = _leaf(graph_module, layer_node), _leaf(graph_module, norm_node)
    calls = [n for n in graph_module.graph.nodes if n.op == "call_module" and n.target == layer_node.target]
    if not isinstance(layer, LAYERS) or not _may_scale_rows(layer) or len(calls) > 1:
        return None
    return layer_node if norm.running_mean is not None else None


def _may_scale_rows(layer: nn.Module) -> bool:
    """Whether weight and bias are plain, or under no more than a mask on the weight."""
    return not constraints_of(layer, "bias") and all(isinstance(c, Mask) for c in constraints_of(layer, "weight"))


def _mixes_positions(graph_module: fx.GraphModule, layer_node: fx.Node, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether the norm runs over positions: that of a linear layer's [n, t, o] is over t, not o."""
    return isinstance(_leaf(graph_module, layer_node), nn.Linear) and len(shapes[layer_node.name]) != 2


def _leaf(graph_module: fx.GraphModule, node: fx.Node) -> nn.Module:
    return graph_module.get_submodule(str(node.target))
