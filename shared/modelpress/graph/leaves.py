"""The leaf modules that a graph may hold: an enumerated list, each with a checked configuration.

A leaf is built on the meta device, so a configuration that asks for petabytes allocates nothing: its tensors come
from the file, and must have exactly the shapes that the configuration implies.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import fx, nn
from torch.nn.utils import parametrize

from modelpress.constraints.fake_quantize import FakeQuantize
from modelpress.errors import ModelFormatError
from modelpress.graph.behaviour import Attention, StochasticDepth
from modelpress.graph.document import first_fault

Size = Annotated[int, Field(ge=1, le=2**31 - 1)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
Probability = Annotated[float, Field(ge=0, le=1)]


class LeafConfig(BaseModel):
    """Constructor arguments of one type of leaf; ``module`` is the class that they construct."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    module: ClassVar[type[nn.Module]]
    arity: ClassVar[tuple[int, int]] = (1, 1)
    """Fewest and most arguments of a call: nodes, None, or lists of nodes where ``states`` says so."""
    states: ClassVar[bool] = False
    """Whether the second argument may be a list of nodes (an LSTM's two states)."""

    @classmethod
    def of(cls, module: nn.Module) -> LeafConfig:
        """Read the configuration back from a live module."""
        values = {name: cls.read(module, name) for name in cls.model_fields}
        return cls(**values)

    @classmethod
    def read(cls, module: nn.Module, name: str) -> Any:
        value = getattr(module, name)
        return value is not None if name == "bias" else value

    def build(self) -> nn.Module:
        """The module, on the meta device."""
        with torch.device("meta"):
            return self.module(**dict(self))


class _Conv(LeafConfig):
    in_channels: Size
    out_channels: Size
    kernel_size: tuple[Size, ...]
    stride: tuple[Size, ...]
    padding: tuple[Count, ...] | Literal["same", "valid"]
    dilation: tuple[Size, ...]
    groups: Size
    bias: bool


class Conv1d(_Conv):
    module = nn.Conv1d


class Conv2d(_Conv):
    module = nn.Conv2d


class Conv3d(_Conv):
    module = nn.Conv3d


class _ConvTranspose(LeafConfig):
    in_channels: Size
    out_channels: Size
    kernel_size: tuple[Size, ...]
    stride: tuple[Size, ...]
    padding: tuple[Count, ...]
    output_padding: tuple[Count, ...]
    dilation: tuple[Size, ...]
    groups: Size
    bias: bool


class ConvTranspose1d(_ConvTranspose):
    module = nn.ConvTranspose1d


class ConvTranspose2d(_ConvTranspose):
    module = nn.ConvTranspose2d


class ConvTranspose3d(_ConvTranspose):
    module = nn.ConvTranspose3d


class Linear(LeafConfig):
    module = nn.Linear
    in_features: Size
    out_features: Size
    bias: bool


class _BatchNorm(LeafConfig):
    num_features: Size
    eps: float
    momentum: float | None
    affine: bool
    track_running_stats: bool
    bias: bool


class BatchNorm1d(_BatchNorm):
    module = nn.BatchNorm1d


class BatchNorm2d(_BatchNorm):
    module = nn.BatchNorm2d


class BatchNorm3d(_BatchNorm):
    module = nn.BatchNorm3d


class LayerNorm(LeafConfig):
    module = nn.LayerNorm
    normalized_shape: tuple[Size, ...]
    eps: float
    elementwise_affine: bool
    bias: bool


class RMSNorm(LeafConfig):
    module = nn.RMSNorm
    normalized_shape: tuple[Size, ...]
    eps: float | None
    elementwise_affine: bool


class GroupNorm(LeafConfig):
    module = nn.GroupNorm
    num_groups: Size
    num_channels: Size
    eps: float
    affine: bool


class Embedding(LeafConfig):
    module = nn.Embedding
    num_embeddings: Size
    embedding_dim: Size
    padding_idx: int | None


class _Recurrent(LeafConfig):
    """Layers and directions multiply the modules that are built, so they are bounded."""

    arity = (1, 2)
    input_size: Size
    hidden_size: Size
    num_layers: Annotated[int, Field(ge=1, le=64)]
    bias: bool
    batch_first: bool
    dropout: Probability
    bidirectional: bool

    @classmethod
    def read(cls, module: nn.Module, name: str) -> Any:
        return getattr(module, name)


class RNN(_Recurrent):
    module = nn.RNN
    nonlinearity: Literal["tanh", "relu"]


class LSTM(_Recurrent):
    module = nn.LSTM
    states = True
    proj_size: Count


class GRU(_Recurrent):
    module = nn.GRU


class AttentionLeaf(LeafConfig):
    module = Attention
    arity = (3, 4)
    scale: float
    p: Probability
    causal: bool
    grouped: bool


class StochasticDepthLeaf(LeafConfig):
    module = StochasticDepth
    p: Probability
    by_batch: bool
    rescale: bool


class _Dropout(LeafConfig):
    p: Probability


class Dropout(_Dropout):
    module = nn.Dropout


class Dropout1d(_Dropout):
    module = nn.Dropout1d


class Dropout2d(_Dropout):
    module = nn.Dropout2d


class Dropout3d(_Dropout):
    module = nn.Dropout3d


class AlphaDropout(_Dropout):
    module = nn.AlphaDropout


class FeatureAlphaDropout(_Dropout):
    module = nn.FeatureAlphaDropout


class FakeQuantizeLeaf(LeafConfig):
    module = FakeQuantize
    bits: Annotated[int, Field(ge=2, le=16)]
    signed: bool


CONFIGS: Mapping[str, type[LeafConfig]] = {
    c.module.__name__: c
    for c in (
        Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, Linear,
        BatchNorm1d, BatchNorm2d, BatchNorm3d, LayerNorm, RMSNorm, GroupNorm, Embedding, RNN, LSTM, GRU,
        AttentionLeaf, StochasticDepthLeaf,
        Dropout, Dropout1d, Dropout2d, Dropout3d, AlphaDropout, FeatureAlphaDropout, FakeQuantizeLeaf,
    )
}  # fmt: skip


def describe(module: nn.Module, path: str) -> tuple[str, dict[str, Any]]:
    """Type name and JSON configuration of a live leaf, which errors call by ``path``.

    Raises:
        ModelFormatError: the module is none of the enumerated types, or has a setting that the format does not hold.
    """
    kind = leaf_type(module)
    if kind not in CONFIGS:
        raise ModelFormatError(f"'{path}': a {kind} is no leaf of the format; leaves are {', '.join(CONFIGS)}")
    try:
        return kind, CONFIGS[kind].of(module).model_dump(mode="json")
    except ValidationError as e:
        raise ModelFormatError(f"'{path}': the format holds no such {kind}: {first_fault(e)}") from e


def leaf_type(module: nn.Module) -> str:
    """The class's name, seen through ``parametrize`` (which makes a subclass ``Parametrized<Name>``)."""
    kind = type(module)
    if parametrize.is_parametrized(module):
        kind = kind.__mro__[1]
    return kind.__name__


def construct(kind: str, config: Mapping[str, Any], where: str) -> nn.Module:
    """Build a leaf from a file's words, on the meta device.

    Raises:
        ModelFormatError: unknown type, or a configuration that its type refuses; ``where`` is the path in the file.
    """
    try:
        return _config(kind, where).model_validate_json(json.dumps(config)).build()
    except ValidationError as e:
        raise ModelFormatError(f"{where}.config.{first_fault(e)}") from e
    except (ValueError, RuntimeError, TypeError, AssertionError, OverflowError) as e:
        raise ModelFormatError(f"{where}: {kind} refuses {dict(config)}: {e}") from e


def _config(kind: str, where: str) -> type[LeafConfig]:
    if kind not in CONFIGS:
        raise ModelFormatError(f"{where}: unknown leaf type '{kind[:80]}'; leaves are {', '.join(CONFIGS)}")
    return CONFIGS[kind]


def check_tensors(leaf: nn.Module, where: str) -> None:
    """Check what a leaf's tensors hold where it matters. Weights may be NaN: a model that diverged is a model still.

    Raises:
        ModelFormatError: the grid of a `FakeQuantize` that is none: NaN has no integer.
    """
    if not isinstance(leaf, FakeQuantize):
        return
    scale, zero_point = float(leaf.scale), int(leaf.zero_point)
    if not (0 < scale < float("inf") and leaf.quant_min <= zero_point <= leaf.quant_max):
        raise ModelFormatError(f"{where}: scale {scale} with zero point {zero_point} is no grid of {leaf.bits} bits")


def check_arguments(kind: str, args: Sequence[Any], where: str) -> None:
    """Check a call of a leaf: how many arguments, the first a node, later ones nodes or None or a list of states.

    Raises:
        ModelFormatError: others.
    """
    config = _config(kind, where)
    fewest, most = config.arity
    sound = fewest <= len(args) <= most and all(isinstance(a, fx.Node) for a in args[:fewest])
    for a in args[fewest:]:
        states = config.states and isinstance(a, list | tuple) and all(isinstance(s, fx.Node) for s in a)
        sound = sound and (a is None or states or (isinstance(a, fx.Node) and not config.states))
    if not sound:
        raise ModelFormatError(f"{where}: {kind} takes {fewest} to {most} nodes, not {tuple(args)!r}")
