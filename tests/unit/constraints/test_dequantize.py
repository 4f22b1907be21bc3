import copy

import pytest
import torch
from torch import nn

from modelpress.constraints.dequantize import Dequantize, attach_dequantize, dequantize_of
from modelpress.constraints.kinds import DEQUANTIZE
from modelpress.constraints.stack import tensors_of
from modelpress.errors import InputError
from modelpress.testing.constraints import ConstraintContract

STORED = torch.tensor([[1, -2, 3], [100, 0, -127]], dtype=torch.int8)
SCALE = torch.tensor([0.5, 0.01])


class TestDequantize(ConstraintContract):
    kind = DEQUANTIZE

    def constrain(self, root: nn.Module, path: str) -> None:
        module, name = tensors_of(root)[path]
        weight = getattr(module, name).detach()
        scale = torch.linspace(0.002, 0.004, len(weight))
        stored = (weight / scale.view(-1, *[1] * (weight.ndim - 1))).round().clamp(-127, 127)
        attach_dequantize(module, name, stored.to(torch.int8), scale)


@pytest.fixture
def layer() -> nn.Linear:
    layer = nn.Linear(3, 2)
    attach_dequantize(layer, "weight", STORED, SCALE)
    return layer


def test_the_weight_is_the_integers_times_their_channels_scale(layer: nn.Linear) -> None:
    assert torch.allclose(layer.weight, torch.tensor([[0.5, -1.0, 1.5], [1.0, 0.0, -1.27]]))
    x = torch.randn(4, 3)
    assert torch.equal(layer(x), nn.functional.linear(x, layer.weight, layer.bias))


def test_what_is_stored_are_integers_and_no_parameter(layer: nn.Linear) -> None:
    assert [name for name, _ in layer.named_parameters()] == ["bias"]
    state = layer.state_dict()
    assert state["parametrizations.weight.original"].dtype == torch.int8
    assert torch.equal(state["parametrizations.weight.0.scale"], SCALE)
    found = dequantize_of(layer, "weight")
    assert found is not None
    assert torch.equal(found[0], STORED)
    assert torch.equal(found[1], SCALE)
    assert dequantize_of(layer, "bias") is None


def test_config_and_tensors_are_enough_to_build_it_again() -> None:
    constraint = Dequantize(2)
    constraint.scale.copy_(SCALE)
    again = Dequantize(**constraint.config())
    again.load_state_dict(constraint.state_dict())
    assert torch.equal(again(STORED), constraint(STORED))


def test_a_copy_computes_the_same(layer: nn.Linear) -> None:
    assert torch.equal(copy.deepcopy(layer).weight, layer.weight)


@pytest.mark.parametrize(
    ("stored", "scale", "says"),
    [
        (STORED.to(torch.int16), SCALE, "int16"),
        (STORED, SCALE[:1], r"\[1\], not float32 \[2\]"),
        (STORED, SCALE.double(), "float64"),
        (STORED, torch.tensor([0.5, 0.0]), "positive"),
        (STORED, torch.tensor([0.5, float("nan")]), "positive"),
    ],
)
def test_what_does_not_fit_is_refused(stored: torch.Tensor, scale: torch.Tensor, says: str) -> None:
    layer = nn.Linear(3, 2)
    with pytest.raises(InputError, match=says):
        attach_dequantize(layer, "weight", stored, scale)
    assert isinstance(layer.weight, nn.Parameter)


def test_a_second_constraint_is_refused(layer: nn.Linear) -> None:
    with pytest.raises(InputError, match="under a constraint already"):
        attach_dequantize(layer, "weight", STORED, SCALE)
