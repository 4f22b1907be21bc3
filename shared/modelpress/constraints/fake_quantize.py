"""`FakeQuantize`: the leaf that puts an activation on an integer grid, in floats."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from modelpress.constraints.affine import affine_parameters


class FakeQuantize(nn.Module):
    """Rounds to the grid ``scale * (k - zero_point)``, ``quant_min <= k <= quant_max``, half to even, and saturates.

    Any shape in, the same out; float32. What it computes is ONNX's QuantizeLinear followed by DequantizeLinear (but
    for inputs that lie within rounding of the middle between two steps: torch multiplies by the scale's reciprocal).
    The gradient passes where the input lies within the grid's range and is zero outside (straight-through
    estimator: Jacob et al. 2018, arXiv:1712.05877).

    Buffers: ``scale`` [] float32, ``zero_point`` [] int32.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(self, quant_min: int = 0, quant_max: int = 255) -> None:
        super().__init__()
        self.quant_min = quant_min
        self.quant_max = quant_max
        self.register_buffer("scale", torch.ones((), dtype=torch.float32))
        self.register_buffer("zero_point", torch.zeros((), dtype=torch.int32))

    @classmethod
    def of_range(cls, low: float, high: float, quant_min: int = 0, quant_max: int = 255) -> FakeQuantize:
        """One whose grid covers ``[low, high]``, widened to hold zero."""
        made = cls(quant_min, quant_max)
        scale, zero_point = affine_parameters(torch.tensor(low), torch.tensor(high), quant_min, quant_max)
        made.scale.copy_(scale)
        made.zero_point.copy_(zero_point)
        return made

    def config(self) -> dict[str, Any]:
        """Constructor arguments as JSON."""
        return {"quant_min": self.quant_min, "quant_max": self.quant_max}

    def forward(self, x: Tensor) -> Tensor:
        return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero_point, self.quant_min, self.quant_max)

    def integer(self, value: float) -> int:
        """The integer that stands for ``value``; infinities saturate."""
        if math.isinf(value):
            return self.quant_max if value > 0 else self.quant_min
        step = round(value / float(self.scale)) + int(self.zero_point)
        return max(self.quant_min, min(self.quant_max, step))

    def extra_repr(self) -> str:
        grid = f"quant_min={self.quant_min}, quant_max={self.quant_max}"
        return grid if self.scale.is_meta else f"{grid}, scale={float(self.scale):.6g}, zero_point={int(self.zero_point)}"
