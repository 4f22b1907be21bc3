"""`Dequantize`: the parametrization under which a quantized model keeps integer weights and biases."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from modelpress.constraints.affine import per_channel
from modelpress.errors import InputError

STORED_DTYPES = (torch.int8, torch.int32)


class Dequantize(nn.Module):
    """Integers [o, ...] to floats [o, ...]: times a scale per output channel; the zero point is 0.

    Buffers: ``scale`` [channels] float32. It has no inverse on purpose: assigning floats to a weight that is stored
    as integers is an error, not a silent rounding.
    """

    scale: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(channels, dtype=torch.float32))

    def config(self) -> dict[str, Any]:
        """Constructor arguments as JSON."""
        return {"channels": self.scale.numel()}

    def forward(self, stored: Tensor) -> Tensor:
        return stored.to(self.scale.dtype) * per_channel(self.scale, stored)


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
    _check(module, name, stored, scale)
    constraint = Dequantize(stored.shape[0])
    constraint.scale.copy_(scale)
    delattr(module, name)
    module.register_buffer(name, stored.detach().clone())
    parametrize.register_parametrization(module, name, constraint, unsafe=True)  # unsafe: it changes the dtype


def dequantize_of(module: nn.Module, name: str) -> tuple[Tensor, Tensor] | None:
    """The integers and scale under ``module.<name>``, or None when it is no `Dequantize`."""
    if not parametrize.is_parametrized(module, name):
        return None
    stack: Any = module.parametrizations[name]  # type: ignore[index]
    constraint = stack[0]
    return (stack.original, constraint.scale) if isinstance(constraint, Dequantize) else None


def _check(module: nn.Module, name: str, stored: Tensor, scale: Tensor) -> None:
    if parametrize.is_parametrized(module, name):
        raise InputError(f"'{name}' is under a constraint already; finalize it before quantizing")
    if stored.dtype not in STORED_DTYPES:
        raise InputError(f"'{name}' would be stored as {stored.dtype}; it must be one of {STORED_DTYPES}")
    if stored.ndim == 0 or scale.shape != stored.shape[:1] or scale.dtype != torch.float32:
        raise InputError(
            f"scale of '{name}' is {scale.dtype} {list(scale.shape)}, not float32 {list(stored.shape[:1])}"
        )
    if not bool((scale > 0).all()) or not bool(scale.isfinite().all()):
        raise InputError(f"scale of '{name}' has entries that are not positive and finite")
