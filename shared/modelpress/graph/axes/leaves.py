"""The rule of each type of leaf module, and what the dimensions of its parameters are called in the names of axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from modelpress.constraints.fake_quantize import FakeQuantize
from modelpress.graph.axes.attention import attention
from modelpress.graph.axes.functional import (
    batch_norm,
    convolution,
    convolution_transposed,
    embedding,
    group_norm,
    layer_norm,
    linear,
)
from modelpress.graph.axes.movement import Rule, same
from modelpress.graph.axes.recurrent import recurrent
from modelpress.graph.behaviour import Attention, StochasticDepth


@dataclass(frozen=True)
class Named:
    """``fc.out`` is dimension ``dim`` of ``fc.<parameter>``."""

    name: str
    parameter: str
    dim: int


@dataclass(frozen=True)
class LeafRule:
    """A leaf type's rule, and the dimensions that may be axes (a leaf may lack some of the parameters)."""

    rule: Rule
    named: tuple[Named, ...] = ()


def _of_weight(*names: str) -> tuple[Named, ...]:
    return tuple(Named(name, "weight", dim) for dim, name in enumerate(names))


_CONVOLUTION = LeafRule(convolution, _of_weight("out", "in"))
_TRANSPOSED = LeafRule(convolution_transposed, _of_weight("in", "out"))
_NORM = _of_weight("features")
_RECURRENT = LeafRule(
    recurrent,
    (Named("hidden", "weight_ih_l0", 0), Named("in", "weight_ih_l0", 1), Named("projection", "weight_hr_l0", 0)),
)

LEAVES: Mapping[type[nn.Module], LeafRule] = {
    nn.Linear: LeafRule(linear, _of_weight("out", "in")),
    nn.Conv1d: _CONVOLUTION,
    nn.Conv2d: _CONVOLUTION,
    nn.Conv3d: _CONVOLUTION,
    nn.ConvTranspose1d: _TRANSPOSED,
    nn.ConvTranspose2d: _TRANSPOSED,
    nn.ConvTranspose3d: _TRANSPOSED,
    _BatchNorm: LeafRule(batch_norm, _NORM),
    nn.LayerNorm: LeafRule(layer_norm, _NORM),
    nn.RMSNorm: LeafRule(layer_norm, _NORM),
    nn.GroupNorm: LeafRule(group_norm, _NORM),
    nn.Embedding: LeafRule(embedding, _of_weight("vocabulary", "features")),
    nn.RNN: _RECURRENT,
    nn.LSTM: _RECURRENT,
    nn.GRU: _RECURRENT,
    Attention: LeafRule(attention),
    StochasticDepth: LeafRule(same),
    _DropoutNd: LeafRule(same),
    nn.Identity: LeafRule(same),
    FakeQuantize: LeafRule(same),
}


def leaf_rule(module: nn.Module) -> LeafRule | None:
    """The rule of a leaf's type or of the nearest type that it derives from."""
    return next((LEAVES[kind] for kind in type(module).__mro__ if kind in LEAVES), None)
