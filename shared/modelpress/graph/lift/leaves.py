"""Which calls become ``torch.nn`` leaves: a line of the table `LEAVES` an operator, and how its module is built."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from modelpress.errors import ExportError
from modelpress.graph.behaviour import Attention
from modelpress.graph.lift.source import bound, rank, user_line

aten = torch.ops.aten
Arguments = Mapping[str, Any]
Build = Callable[[Arguments], nn.Module | None]


@dataclass(frozen=True)
class Leaf:
    """A layer seen in the graph: which argument is its input, which are its weights, and how to build it.

    ``weights`` maps the leaf's own tensor names to argument names; ``build`` gets the call's arguments by name (weights
    as tensors) and returns the module on the meta device, to which the weights are then assigned, or None where no
    leaf does what the call does.
    """

    input: str
    weights: Mapping[str, str]
    build: Build


def _spread(value: Any, n: int) -> Any:
    """Sizes of ``n`` dimensions from what an operator takes: one number for all, one each, or a word."""
    if isinstance(value, str):
        return value
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * (n if len(values) == 1 else 1)


def _conv(kind: type[nn.Module]) -> Build:
    def build(a: Arguments) -> nn.Module:
        w, groups = a["weight"], a["groups"]
        sizes = {k: _spread(a[k], w.ndim - 2) for k in ("stride", "padding", "dilation")}
        kernel = tuple(w.shape[2:])
        return kind(w.shape[1] * groups, w.shape[0], kernel, groups=groups, bias=a["bias"] is not None, **sizes)

    return build


def _conv_transpose(kind: type[nn.Module]) -> Build:
    def build(a: Arguments) -> nn.Module:
        w, groups = a["weight"], a["groups"]
        sizes = {k: _spread(a[k], w.ndim - 2) for k in ("stride", "padding", "output_padding", "dilation")}
        kernel = tuple(w.shape[2:])
        return kind(w.shape[0], w.shape[1] * groups, kernel, groups=groups, bias=a["bias"] is not None, **sizes)

    return build


def _linear(a: Arguments) -> nn.Module:
    return nn.Linear(a["weight"].shape[1], a["weight"].shape[0], bias=a["bias"] is not None)


def _batch_norm(a: Arguments) -> nn.Module | None:
    kinds = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
    tracked, affine = a["running_mean"] is not None, a["weight"] is not None
    kind = kinds.get(rank(a["input"]))
    if not (tracked or affine) or kind is None or (tracked and a["training"]):
        return None
    width = (a["running_mean"] if tracked else a["weight"]).shape[0]
    return kind(width, a["eps"], a["momentum"], affine, tracked, bias=a["bias"] is not None)


def _layer_norm(a: Arguments) -> nn.Module:
    return nn.LayerNorm(tuple(a["normalized_shape"]), a["eps"], a["weight"] is not None, bias=a["bias"] is not None)


def _rms_norm(a: Arguments) -> nn.Module:
    return nn.RMSNorm(tuple(a["normalized_shape"]), a["eps"], a["weight"] is not None)


def _group_norm(a: Arguments) -> nn.Module | None:
    if a["weight"] is None or a["bias"] is None:
        return None
    return nn.GroupNorm(a["num_groups"], a["weight"].shape[0], a["eps"])


def _embedding(a: Arguments) -> nn.Module | None:
    if a["scale_grad_by_freq"] or a["sparse"]:
        return None
    padding = a["padding_idx"]
    rows, width = a["weight"].shape
    return nn.Embedding(rows, width, padding_idx=padding if padding >= 0 else None)


AFFINE = {"weight": "weight", "bias": "bias"}
_STATS = {**AFFINE, "running_mean": "running_mean", "running_var": "running_var"}
LEAVES: Mapping[Any, Leaf] = {
    aten.conv1d.default: Leaf("input", AFFINE, _conv(nn.Conv1d)),
    aten.conv1d.padding: Leaf("input", AFFINE, _conv(nn.Conv1d)),
    aten.conv2d.default: Leaf("input", AFFINE, _conv(nn.Conv2d)),
    aten.conv2d.padding: Leaf("input", AFFINE, _conv(nn.Conv2d)),
    aten.conv3d.default: Leaf("input", AFFINE, _conv(nn.Conv3d)),
    aten.conv3d.padding: Leaf("input", AFFINE, _conv(nn.Conv3d)),
    aten.conv_transpose1d.default: Leaf("input", AFFINE, _conv_transpose(nn.ConvTranspose1d)),
    aten.conv_transpose2d.input: Leaf("input", AFFINE, _conv_transpose(nn.ConvTranspose2d)),
    aten.conv_transpose3d.input: Leaf("input", AFFINE, _conv_transpose(nn.ConvTranspose3d)),
    aten.linear.default: Leaf("input", AFFINE, _linear),
    aten.batch_norm.default: Leaf("input", _STATS, _batch_norm),
    aten.layer_norm.default: Leaf("input", AFFINE, _layer_norm),
    aten.rms_norm.default: Leaf("input", {"weight": "weight"}, _rms_norm),
    aten.group_norm.default: Leaf("input", AFFINE, _group_norm),
    aten.embedding.default: Leaf("indices", {"weight": "weight"}, _embedding),
}

DROPOUTS: Mapping[Any, Mapping[str, type[nn.Module]]] = {
    aten.dropout.default: {"Dropout": nn.Dropout},
    aten.dropout_.default: {"Dropout": nn.Dropout},
    aten.feature_dropout.default: {"Dropout2d": nn.Dropout2d, "Dropout1d": nn.Dropout1d, "Dropout3d": nn.Dropout3d},
    aten.feature_dropout_.default: {"Dropout2d": nn.Dropout2d, "Dropout1d": nn.Dropout1d, "Dropout3d": nn.Dropout3d},
    aten.alpha_dropout.default: {"AlphaDropout": nn.AlphaDropout},
    aten.alpha_dropout_.default: {"AlphaDropout": nn.AlphaDropout},
    aten.feature_alpha_dropout.default: {"FeatureAlphaDropout": nn.FeatureAlphaDropout},
    aten.feature_alpha_dropout_.default: {"FeatureAlphaDropout": nn.FeatureAlphaDropout},
}
"""Modules that each dropout operator comes from, by class name; where another module calls it, by the rank it wants."""
_BY_RANK = {2: "Dropout1d", 3: "Dropout1d", 4: "Dropout2d", 5: "Dropout3d"}


def dropout(node: fx.Node, owner: str) -> nn.Module:
    """The dropout module for a call made by a class ``owner``.

    Raises:
        ExportError: dropout that is on in evaluation too; a graph has none.
    """
    if node.args[2] is not False:
        raise ExportError(f"{node.target} drops in evaluation too{user_line(node)}; pass training=self.training")
    kinds = DROPOUTS[node.target]
    name = owner if owner in kinds else _BY_RANK.get(rank(node), "") if len(kinds) > 1 else next(iter(kinds))
    if name not in kinds:
        raise ExportError(f"{node.target} of {rank(node)} dimensions is not in the format{user_line(node)}")
    return kinds[name](float(node.args[1]))  # type: ignore[arg-type]


def attention(node: fx.Node) -> nn.Module:
    """The leaf for a call of scaled dot-product attention, its scale made explicit.

    Raises:
        ExportError: the size of the heads is dynamic, so that the scale is no constant.
    """
    a = bound(node)
    size = a["query"].meta["val"].shape[-1]
    if a["scale"] is None and not isinstance(size, int):
        raise ExportError(f"attention over heads of dynamic size{user_line(node)}; pass scale= explicitly")
    scale = a["scale"] if a["scale"] is not None else 1.0 / math.sqrt(size)
    return Attention(float(scale), float(a["dropout_p"]), bool(a["is_causal"]), bool(a["enable_gqa"]))
