"""`Mask`: the contract, and what is its own."""

import pytest
import torch
from torch import nn

from modelpress.constraints.attach import attach
from modelpress.constraints.kinds import MASK
from modelpress.constraints.mask import Mask
from modelpress.constraints.stack import constraints_of, shape_of, tensors_of
from modelpress.errors import InputError
from modelpress.testing.constraints import ConstraintContract

KEEP = torch.tensor([[True, False, True], [False, False, True]])


class TestMask(ConstraintContract):
    kind = MASK

    def constrain(self, root: nn.Module, path: str) -> None:
        generator = torch.Generator().manual_seed(1)
        attach(root, path, Mask(torch.rand(shape_of(*tensors_of(root)[path]), generator=generator) < 0.4))


@pytest.fixture
def layer() -> nn.Linear:
    layer = nn.Linear(3, 2)
    attach(layer, "weight", Mask(KEEP))
    return layer


def test_pruned_entries_are_zero_and_get_no_gradient(layer: nn.Linear) -> None:
    layer(torch.randn(4, 3)).square().sum().backward()
    stored = layer.get_parameter("parametrizations.weight.original")
    assert stored.grad is not None
    assert torch.equal(layer.weight == 0, ~KEEP)
    assert torch.equal(stored.grad == 0, ~KEEP)
    assert bool((stored != 0).all()), "what is stored need not be zero"


@pytest.mark.parametrize("stored", [1e38, -1e38, -1e-45, -0.0])
def test_zero_is_plus_zero_whatever_is_stored(layer: nn.Linear, stored: float) -> None:
    layer.get_parameter("parametrizations.weight.original").data.fill_(stored)
    assert torch.equal(layer.weight[KEEP], torch.full((3,), stored))
    assert torch.equal(layer.weight[~KEEP], torch.zeros(3))
    assert not bool(torch.signbit(layer.weight[~KEEP]).any())


@pytest.mark.parametrize("stored", [float("inf"), float("nan")])
def test_a_stored_entry_that_is_not_finite_is_a_violation(layer: nn.Linear, stored: float) -> None:
    layer.get_parameter("parametrizations.weight.original").data.fill_(stored)
    (mask,) = constraints_of(layer, "weight")
    assert mask.violation(layer.weight.detach()) == "3 of 3 pruned entries are not zero"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_weights_dtype_stays(dtype: torch.dtype) -> None:
    layer = nn.Linear(3, 2).to(dtype)
    attach(layer, "weight", Mask(KEEP))
    assert layer.weight.dtype is dtype
    assert layer.to(torch.float32).weight.dtype is torch.float32


def test_nothing_may_be_left() -> None:
    layer = nn.Linear(3, 2)
    attach(layer, "weight", Mask(torch.zeros(2, 3, dtype=torch.bool)))
    assert torch.equal(layer.weight, torch.zeros(2, 3))


def test_the_mask_is_its_own() -> None:
    keep = KEEP.clone()
    mask = Mask(keep)
    keep.zero_()
    assert torch.equal(mask.keep, KEEP)
    assert str(mask) == "Mask(shape=[2, 3], kept=3)"


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_only_bool_is_a_mask(dtype: torch.dtype) -> None:
    with pytest.raises(InputError, match="a mask is bool"):
        Mask(KEEP.to(dtype))


@pytest.mark.parametrize("keep", [KEEP[:1], KEEP.T, KEEP[0]], ids=["broadcast", "transposed", "a row"])
def test_a_mask_of_another_shape_is_refused(keep: torch.Tensor) -> None:
    layer = nn.Linear(3, 2)
    with pytest.raises(InputError, match=r"'weight': Mask: the mask has shape .* the tensor under it \[\[2, 3\]\]"):
        attach(layer, "weight", Mask(keep))
    assert isinstance(layer.weight, nn.Parameter)


def test_it_counts_what_was_revived() -> None:
    assert Mask(KEEP).violation(torch.ones(2, 3)) == "3 of 3 pruned entries are not zero"
    assert Mask(KEEP).violation(torch.full((2, 3), float("nan"))) == "3 of 3 pruned entries are not zero"
    assert Mask(KEEP).violation(KEEP.float()) == ""
