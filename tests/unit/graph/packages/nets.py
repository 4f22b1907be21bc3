"""Networks and quantized models for the tests of packages."""

import torch
from torch import Tensor, nn

from modelpress.graph.export import export
from modelpress.graph.model import Model
from modelpress.testing.zoo import ZOO
from modelpress_quantizer.kernels.ptq_int8 import quantize
from modelpress_quantizer.methods.ptq_int8 import Params


class Residual(nn.Module):
    """Small, with what packages treat specially: a norm, a sum, relu6, a mean over the image, a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.inner = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        x = torch.relu(x + nn.functional.relu6(self.inner(x)))
        y: Tensor = self.head(x.mean((2, 3)))
        return y


def residual(seed: int = 0) -> Model:
    torch.manual_seed(seed)
    return export(Residual().eval(), torch.randn(2, 1, 8, 8), check=False)


def residual_int8() -> Model:
    return quantize(residual(), [torch.randn(64, 1, 8, 8)], Params())


def from_zoo(name: str) -> Model:
    return export(ZOO[name].lively(), ZOO[name].example(), check=False)


def int8_from_zoo(name: str) -> Model:
    return quantize(from_zoo(name), [ZOO[name].example(16, seed=3)], Params())
