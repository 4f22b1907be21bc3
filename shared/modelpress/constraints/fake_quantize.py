"""`FakeQuantize`: the leaf that puts an activation on an integer grid, in floats."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from modelpress.constraints.affine import affine_parameters, integer_range


class FakeQuantize(nn.Module):
    """Rounds to the grid ``scale * (k - zero_point)``, half to even, and saturates: ``k`` has ``bits`` bits.

    Any shape in, the same out; float32. What it computes is ONNX's QuantizeLinear followed by DequantizeLinear (but
    for inputs that lie within rounding of the middle between two steps: torch multiplies by the scale's reciprocal).
    The gradient passes where the input lies within the grid's range and is zero outside (straight-through
    estimator: Jacob et al. 2018, arXiv:1712.05877).

    Buffers: ``scale`` [] float32, ``zero_point`` [] int32.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(self, bits: int = 8, signed: bool = False) -> None:
        super().__init__()
        self.bits = bits
        self.signed = signed
        self.quant_min, self.quant_max = integer_range(bits, signed)
        self.register_buffer("scale", torch.ones((), dtype=torch.float32))
        self.register_buffer("zero_point", torch.zeros((), dtype=torch.int32))

    @classmethod
    def of_range(cls, low: float, high: float, bits: int = 8, signed: bool = False) -> FakeQuantize:
        """One whose grid covers ``[low, high]``, widened to hold zero."""
        made = cls(bits, signed)
        scale, zero_point = affine_parameters(torch.tensor(low), torch.tensor(high), made.quant_min, made.quant_max)
        made.scale.copy_(scale)
        made.zero_point.copy_(zero_point)
        return made

    def config(self) -> dict[str, Any]:
        """Constructor arguments as JSON."""
        return {"bits": self.bits, "signed": self.signed}

    def forward(self, x: Tensor) -> Tensor:
        return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero_point, self.quant_min, self.quant_max)

    def integer(self, value: float) -> int:
        """The integer that stands for ``value``; infinities saturate."""
        if math.isinf(value):
            return self.quant_max if value > 0 else self.quant_min
        step = round(value / float(self.scale)) + int(self.zero_point)
        return max(self.quant_min, min(self.quant_max, step))

    def extra_repr(self) -> str:
        grid = f"bits={self.bits}, signed={self.signed}"
        return (
            grid if self.scale.is_meta else f"{grid}, scale={float(self.scale):.6g}, zero_point={int(self.zero_point)}"
        )
