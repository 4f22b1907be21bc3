"""Arithmetic of affine quantization: scales, zero points, rounding. Pure tensor functions."""

from __future__ import annotations

import torch
from torch import Tensor

INT32_MAX = 2**31 - 1
SMALLEST_SCALE = float(torch.finfo(torch.float32).tiny)
"""Below it, floats lose digits and then become zero."""


def integer_range(bits: int, signed: bool) -> tuple[int, int]:
    """Smallest and largest integer of the grid.

    >>> integer_range(8, signed=False), integer_range(8, signed=True)
    ((0, 255), (-128, 127))
    """
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def affine_parameters(low: Tensor, high: Tensor, quant_min: int, quant_max: int) -> tuple[Tensor, Tensor]:
    """Scale and zero point of the grid that covers ``[low, high]`` and holds zero exactly.

    Args:
        low, high: ranges, any equal shape, float; widened to contain zero.

    Returns:
        scale float32 > 0 and zero_point int32, shaped like ``low``. An empty range gets scale 1.

    Paper: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
    Inference", 2018, arXiv:1712.05877, section 2.1.
    """
    low, high = low.double().clamp(max=0.0), high.double().clamp(min=0.0)
    span = high - low
    scale = torch.where(span > 0, span / (quant_max - quant_min), 1.0).clamp(min=SMALLEST_SCALE).float()
    zero_point = (quant_min - low / scale).round().clamp(quant_min, quant_max)
    return scale, zero_point.to(torch.int32)


def symmetric_scale(weight: Tensor, quant_max: int) -> Tensor:
    """Scale per output channel (dimension 0) so that the largest magnitude meets ``quant_max``.

    Args:
        weight: [o, ...] float.

    Returns:
        [o] float32 > 0; 1 for a channel that is zero throughout.
    """
    largest = weight.detach().abs().flatten(1).amax(dim=1).float()
    return torch.where(largest > 0, largest / quant_max, 1.0).clamp(min=SMALLEST_SCALE)


def bias_safe_scale(weight_scale: Tensor, bias: Tensor, input_scale: Tensor) -> Tensor:
    """``weight_scale`` [o], raised where ``bias`` [o] would overflow int32 at scale ``input_scale * weight_scale``.

    Channels whose weights are nearly zero need it: their tiny scale would make the integer bias saturate.
    """
    needed = bias.detach().abs() / (input_scale * (INT32_MAX // 2))
    return torch.maximum(weight_scale, needed.float())


def per_channel(scale: Tensor, like: Tensor) -> Tensor:
    """``scale`` [o] viewed so that it broadcasts over dimension 0 of ``like`` [o, ...]."""
    return scale.view(-1, *([1] * (like.ndim - 1)))


def quantize_symmetric(values: Tensor, scale: Tensor, quant_max: int, dtype: torch.dtype) -> Tensor:
    """``values`` [o, ...] float on the grid of ``scale`` [o], zero point 0, half to even, within +-``quant_max``."""
    steps = (values.detach().double() / per_channel(scale.double(), values)).round()
    return steps.clamp(-quant_max, quant_max).to(dtype)
