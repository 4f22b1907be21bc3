"""Int8 without data: any inputs, any architecture; what has no integer kernel stays in floats."""

from __future__ import annotations

import pytest
import torch

from modelpress.catalogue import Form
from modelpress.constraints.dequantize import dequantize_of
from modelpress.errors import InputError
from modelpress.graph.export import export
from modelpress.graph.model import Model
from modelpress.graph.packages.make import make_package
from modelpress.graph.packages.session import runtime_operators
from modelpress.job import LocalJob
from modelpress.testing.zoo import ZOO
from modelpress_quantizer.kernels.untrained_int8 import run
from modelpress_quantizer.methods.untrained_int8 import Params


def model_of(name: str) -> Model:
    entry = ZOO[name]
    return export(entry.lively(), entry.examples(), dynamic=entry.dynamic(), check=False)


def quantized(model: Model) -> Model:
    return run(model=model, params=Params(), job=LocalJob())["model"]


@pytest.mark.parametrize(
    ("name", "kernel"),
    [("lenet-5", "QLinearConv"), ("bert", "MatMulIntegerToFloat"), ("lstm", "QGemm"), ("graph-dense", "QGemm")],
)
def test_the_runtime_finds_integer_kernels(name: str, kernel: str) -> None:
    dense = model_of(name)
    small = quantized(dense)
    assert small.form is Form.QUANTIZED
    assert runtime_operators(make_package(small))[kernel] > 0
    assert dense.form is Form.DENSE
    assert not any(dequantize_of(leaf, "weight") for _, leaf in dense.leaves() if hasattr(leaf, "weight"))


def test_masks_that_stand_for_infinity_get_no_grid() -> None:
    class Masked(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.b(self.a(x) + torch.finfo(torch.float32).min)
            return y

    facts = quantized(export(Masked(), torch.randn(2, 4), check=False)).facts["quantized"]
    assert (facts["layers"], facts["grids"]) == (2, 1)  # the input, and not the sum


def test_a_model_without_integer_kernels_is_refused() -> None:
    with pytest.raises(InputError, match="no convolution or linear layer"):
        quantized(export(torch.nn.ConvTranspose2d(3, 4, 2), torch.randn(2, 3, 4, 4), check=False))


def test_biases_of_matrices_only_are_integers() -> None:
    for shape, integer in (((2, 4), True), ((2, 3, 4), False)):
        small = quantized(export(torch.nn.Linear(4, 4), torch.randn(*shape), check=False))
        (layer,) = (leaf for _, leaf in small.leaves() if isinstance(leaf, torch.nn.Linear))
        assert (dequantize_of(layer, "bias") is not None) is integer
