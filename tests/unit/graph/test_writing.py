"""What writing refuses: each a ModelFormatError that names the place."""

from __future__ import annotations

import pytest
import torch
from torch import fx, nn

from modelpress.errors import ModelFormatError
from modelpress.graph.model import Model, TensorSpec
from modelpress.graph.serialise import save


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_layer_of_no_elements_is_refused_by_its_path() -> None:
    net = nn.Sequential(nn.Linear(4, 0), nn.Linear(0, 3))
    model = Model(fx.symbolic_trace(net), (TensorSpec("input", "float32", ("batch", 4)),))
    with pytest.raises(ModelFormatError, match=r"'0': the format holds no such Linear: out_features: .* than or equal"):
        save(model)


def test_a_layer_that_is_no_leaf_is_refused_by_its_path() -> None:
    model = Model(fx.symbolic_trace(nn.Sequential(nn.Softmax())), (TensorSpec("input", "float32", ("batch", 4)),))
    with pytest.raises(ModelFormatError, match="'0': a Softmax is no leaf"):
        save(model)


def test_an_input_of_no_elements_is_refused() -> None:
    model = Model(fx.symbolic_trace(nn.Sequential(nn.Linear(4, 4))), (TensorSpec("input", "float32", (0, 4)),))
    assert model.module(torch.zeros(0, 4)).shape == (0, 4)
    with pytest.raises(ModelFormatError, match=r"not of the format: shape\.0"):
        save(model)
