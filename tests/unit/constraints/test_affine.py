import torch
from hypothesis import given
from hypothesis import strategies as st

from modelpress.constraints.affine import (
    INT32_MAX,
    affine_parameters,
    bias_safe_scale,
    integer_range,
    quantize_symmetric,
    symmetric_scale,
)

FINITE = st.floats(-1e4, 1e4, width=32)


def test_ranges_of_integers() -> None:
    assert integer_range(8, signed=False) == (0, 255)
    assert integer_range(4, signed=True) == (-8, 7)


def test_affine_parameters_by_hand() -> None:
    scale, zero_point = affine_parameters(torch.tensor([0.0, -1.0, 1.0]), torch.tensor([2.55, 1.55, 2.55]), 0, 255)
    assert torch.allclose(scale, torch.tensor([0.01, 0.01, 0.01]))
    assert zero_point.tolist() == [0, 100, 0]  # a range that lacks zero is widened to it


def test_an_empty_range_has_scale_one() -> None:
    scale, zero_point = affine_parameters(torch.zeros(()), torch.zeros(()), 0, 255)
    assert (scale.item(), zero_point.item()) == (1.0, 0)


@given(FINITE, FINITE)
def test_zero_is_on_the_grid_and_the_ends_are_within_half_a_step(a: float, b: float) -> None:
    low, high = min(a, b, 0.0), max(a, b, 0.0)
    scale, zero_point = affine_parameters(torch.tensor(low), torch.tensor(high), 0, 255)
    assert 0 <= int(zero_point) <= 255
    assert float(scale) > 0
    reach = float(scale) * (0 - int(zero_point)), float(scale) * (255 - int(zero_point))
    slack = float(scale) * 0.5001
    assert reach[0] - slack <= low
    assert high <= reach[1] + slack


def test_weights_by_hand() -> None:
    weight = torch.tensor([[1.27, -0.635, 0.005], [0.0, 0.0, 0.0]])
    scale = symmetric_scale(weight, 127)
    assert torch.allclose(scale, torch.tensor([0.01, 1.0]))
    stored = quantize_symmetric(weight, scale, 127, torch.int8)
    assert stored.tolist() == [[127, -64, 0], [0, 0, 0]]  # -63.5 and 0.5 go to the even neighbour


def test_the_bias_of_a_nearly_dead_channel_does_not_overflow() -> None:
    weight_scale, input_scale = torch.tensor([1e-12, 0.01]), torch.tensor(0.02)
    bias = torch.tensor([3.0, -3.0])
    scale = bias_safe_scale(weight_scale, bias, input_scale)
    assert scale[1] == weight_scale[1]
    stored = quantize_symmetric(bias, input_scale * scale, INT32_MAX, torch.int32)
    assert torch.allclose(stored.double() * (input_scale * scale).double(), bias.double(), rtol=1e-6)
