"""`Dequantize`: the parametrization under which a quantized model keeps integer weights and biases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from modelpress.constraints.affine import per_channel
from modelpress.constraints.attach import put_stack
from modelpress.constraints.kinds import DEQUANTIZE, Kind
from modelpress.constraints.protocol import Constraint, select
from modelpress.constraints.stack import constraints_of, stored_of
from modelpress.errors import InputError

STORED_DTYPES = (torch.int8, torch.int32)
ROUNDING = 2.0**-23
"""Relative error of a float32 product."""


class Dequantize(nn.Module):
    """Integers [o, ...] to floats [o, ...]: times a scale per output channel; the zero point is 0.

    Buffers: ``scale`` [channels] float32. It has no inverse on purpose: assigning floats to a weight that is stored
    as integers is an error, not a silent rounding.
    """

    kind: ClassVar[Kind] = DEQUANTIZE
    tensor_names: ClassVar[tuple[str, ...]] = ("scale",)
    scale: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(channels, dtype=torch.float32))

    def config(self) -> dict[str, Any]:
        """Constructor arguments as JSON."""
        return {"channels": self.scale.numel()}

    @classmethod
    def restore(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Dequantize:
        scale = tensors["scale"]
        if isinstance(scale, nn.Parameter):
            raise InputError("a Dequantize's 'scale' is a buffer, not a parameter")
        channels = config.get("channels")
        if len(config) != 1 or type(channels) is not int or list(scale.shape) != [channels]:
            raise InputError(f"scale has shape {list(scale.shape)}, which config {dict(config)} does not fit")
        _check_scale(scale)
        made = cls(channels)
        made.scale = scale
        return made

    def forward(self, stored: Tensor) -> Tensor:
        return stored.to(self.scale.dtype) * per_channel(self.scale, stored)

    def misfit(self, stored: Sequence[Tensor]) -> str:
        if len(stored) != 1 or stored[0].dtype not in STORED_DTYPES:
            return f"what is stored is {[t.dtype for t in stored]}; it must be one of {STORED_DTYPES}"
        shape = list(stored[0].shape)
        return "" if shape[:1] == [self.scale.numel()] else f"{self.scale.numel()} scales do not fit shape {shape}"

    def violation(self, value: Tensor) -> str:
        """Values lie on the grid up to the rounding of one product."""
        if self.misfit([value.to(torch.int32)]):
            return f"{self.scale.numel()} scales do not fit shape {list(value.shape)}"
        scale = per_channel(self.scale.double(), value)
        error = ((value.double() / scale).round() * scale - value.double()).abs()
        off = int((~(error <= ROUNDING * value.double().abs())).sum())
        return f"{off} of {value.numel()} entries are off the grid" if off else ""

    def sliced(self, dim: int, keep: Tensor) -> Dequantize:
        scale = select(self.scale, 0, keep) if dim == 0 else self.scale.clone()
        made = Dequantize(scale.numel())
        made.scale = scale
        return made

    def sliced_stored(self, stored: Sequence[Tensor], dim: int, keep: Tensor) -> tuple[Tensor, ...]:
        return (select(stored[0], dim, keep),)


def attach_dequantize(module: nn.Module, name: str, stored: Tensor, scale: Tensor) -> None:
    """Replace ``module``'s parameter ``name`` by integers ``stored`` under a `Dequantize`.

    Afterwards ``module.<name>`` is float and computed, ``module.parametrizations.<name>.original`` is the integer
    *buffer* and ``module.parametrizations.<name>[0].scale`` its scale.

    Args:
        stored: [o, ...] int8 (weights) or int32 (biases).
        scale: [o] float32, > 0.

    Raises:
        InputError: another dtype, a scale of another shape or sign, or a parameter that is parametrized already.
    """
    if constraints_of(module, name):
        raise InputError(f"'{name}' is under a constraint already; finalize it before quantizing")
    if scale.shape != stored.shape[:1]:
        raise InputError(f"scale of '{name}' is {list(scale.shape)}, not float32 {list(stored.shape[:1])}")
    constraint = Dequantize.restore({"channels": scale.numel()}, {"scale": scale.detach().clone()})
    put_stack(module, name, [stored.detach().clone()], [constraint])


def dequantize_of(module: nn.Module, name: str) -> tuple[Tensor, Tensor] | None:
    """The integers and scale under ``module.<name>``, or None when it is no `Dequantize`."""
    stack = constraints_of(module, name)
    if not stack or not isinstance(stack[0], Dequantize):
        return None
    return stored_of(module, name)[0], stack[0].scale


def _check_scale(scale: Tensor) -> None:
    if scale.dtype != torch.float32:
        raise InputError(f"a scale is float32, not {scale.dtype}")
    if not bool((scale > 0).all()) or not bool(scale.isfinite().all()):
        raise InputError("a scale has entries that are not positive and finite")


if TYPE_CHECKING:
    _: Constraint = Dequantize(1)
