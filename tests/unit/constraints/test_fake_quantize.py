import math

import torch

from modelpress.constraints.fake_quantize import FakeQuantize


def grid(scale: float, zero_point: int, bits: int = 8, signed: bool = False) -> FakeQuantize:
    leaf = FakeQuantize(bits, signed)
    leaf.scale.fill_(scale)
    leaf.zero_point.fill_(zero_point)
    return leaf


def test_it_rounds_half_to_even_and_saturates() -> None:
    x = torch.tensor([-99.0, -0.25, 0.25, 0.75, 1.25, 99.0])
    assert grid(0.5, 2, bits=4)(x).tolist() == [-1.0, 0.0, 0.0, 1.0, 1.0, 6.5]
    assert grid(0.5, 0, bits=4, signed=True)(x).tolist() == [-4.0, 0.0, 0.0, 1.0, 1.0, 3.5]


def test_the_gradient_passes_within_the_range_only() -> None:
    x = torch.tensor([-2.0, 0.3, 9.0], requires_grad=True)
    grid(0.5, 2, bits=4)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 1.0, 0.0]


def test_a_value_on_the_grid_stays() -> None:
    leaf = FakeQuantize.of_range(-1.0, 2.0)
    once = leaf(torch.linspace(-1.5, 2.5, 1000))
    assert torch.equal(leaf(once), once)


def test_integers_of_values() -> None:
    leaf = grid(0.5, 2)
    assert [leaf.integer(v) for v in (-math.inf, -1.0, 0.0, 3.0, math.inf)] == [0, 0, 2, 8, 255]


def test_config_and_tensors_are_enough_to_build_it_again() -> None:
    leaf = FakeQuantize.of_range(-1.0, 3.0, bits=6, signed=True)
    again = FakeQuantize(**leaf.config())
    again.load_state_dict(leaf.state_dict())
    x = torch.randn(100)
    assert torch.equal(again(x), leaf(x))
