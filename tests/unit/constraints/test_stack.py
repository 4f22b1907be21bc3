"""Putting constraints on tensors and reading them back."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from modelpress.constraints.attach import attach
from modelpress.constraints.dequantize import attach_dequantize
from modelpress.constraints.finalize import burn_in
from modelpress.constraints.mask import Mask
from modelpress.constraints.slicing import slice_tensor
from modelpress.constraints.stack import constraints_of, is_parameter, parameters_of, shape_of, stored_of, tensors_of
from modelpress.errors import InputError, NotFoundError

Recurrent = nn.LSTM | nn.GRU | nn.RNN


def ones(*shape: int) -> Mask:
    return Mask(torch.ones(shape, dtype=torch.bool))


def half(*shape: int) -> Mask:
    return Mask(torch.arange(torch.Size(shape).numel()).view(shape) % 2 == 0)


class Net(nn.Module):
    """Tied weights, a buffer, and a parameter that belongs to no leaf."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(4, 3)
        self.inner = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
        self.head = nn.Linear(3, 4, bias=False)
        self.head.weight = self.embed.weight
        self.loose = nn.Module()
        self.loose.scale = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.inner(self.embed(x)) * self.loose.scale)
        return y


def test_tensors_go_by_the_users_names_constrained_or_not() -> None:
    net = Net()
    before = list(tensors_of(net))
    attach(net, "inner.0.weight", ones(3, 3))
    assert set(tensors_of(net)) == set(before)
    assert {name for name in before if name.startswith("inner.1.running")} == {
        "inner.1.running_mean",
        "inner.1.running_var",
    }
    assert [is_parameter(*tensors_of(net)[n]) for n in ("inner.0.weight", "inner.0.bias", "inner.1.running_mean")] == [
        True,
        True,
        False,
    ]
    assert shape_of(*tensors_of(net)["inner.0.weight"]) == (3, 3)
    values = parameters_of(net)
    assert set(before) - set(values) == {name for name, _ in net.named_buffers() if name.startswith("inner.1.")}
    assert torch.equal(values["inner.0.weight"], stored_of(net.inner[0], "weight")[0])


def test_tied_weights_get_one_constraint_and_stay_one() -> None:
    net = Net()
    weight = net.embed.weight
    attach(net, "head.weight", half(4, 3))
    assert stored_of(net.embed, "weight")[0] is stored_of(net.head, "weight")[0] is weight
    assert constraints_of(net.embed, "weight") == constraints_of(net.head, "weight")
    assert torch.equal(net.embed(torch.arange(4)), net.head.weight)
    slice_tensor([(net.embed, "weight"), (net.head, "weight")], {0: torch.tensor([1, 3])})
    assert stored_of(net.embed, "weight")[0] is stored_of(net.head, "weight")[0]
    assert constraints_of(net.embed, "weight") == constraints_of(net.head, "weight")
    burn_in(net)
    assert net.embed.weight is net.head.weight
    assert isinstance(net.head.weight, nn.Parameter)


@pytest.mark.parametrize(
    ("path", "error", "says"),
    [
        ("inner.0.wieght", NotFoundError, r"no parameter 'inner\.0\.wieght': did you mean 'inner\.0\.weight'"),
        ("inner.1.running_mean", InputError, "is a buffer"),
        ("loose.scale", InputError, "belongs to no leaf"),
        ("inner.0.weight", InputError, "the mask has shape"),
    ],
)
def test_where_no_constraint_can_lie_it_is_refused(path: str, error: type[Exception], says: str) -> None:
    net = Net()
    with pytest.raises(error, match=says):
        attach(net, path, ones(3))
    assert not any(parametrize.is_parametrized(module) for module in net.modules())


def test_finished_integers_take_no_mask() -> None:
    layer = nn.Linear(3, 2)
    attach_dequantize(layer, "weight", torch.ones(2, 3, dtype=torch.int8), torch.ones(2))
    with pytest.raises(InputError, match="'weight': Dequantize is final and stands alone; Mask cannot be with it"):
        attach(layer, "weight", ones(2, 3))
    assert len(constraints_of(layer, "weight")) == 1


def test_a_copy_and_its_original_go_apart() -> None:
    """`parametrize` keeps properties on a class that a deep copy shares; changing one must not break the other."""
    first = nn.Linear(3, 2)
    attach(first, "weight", half(2, 3))
    copied, finished = copy.deepcopy(first), copy.deepcopy(first)
    attach(copied, "bias", half(2))
    burn_in(finished)
    assert torch.equal(first.weight, copied.weight)
    assert torch.equal(first.weight, finished.weight)
    assert isinstance(first.bias, nn.Parameter)
    assert not isinstance(copied.bias, nn.Parameter)
    assert type(finished) is nn.Linear
    assert torch.equal(first.bias * torch.tensor([1.0, 0.0]), copied.bias)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_recurrent_layer_runs_on_its_constrained_weights(kind: type[Recurrent]) -> None:
    layer = kind(3, 2)
    attach(layer, "weight_hh_l0", Mask(torch.zeros(shape_of(layer, "weight_hh_l0"), dtype=torch.bool)))
    plain = copy.deepcopy(layer)
    burn_in(plain)
    x = torch.randn(5, 1, 3)
    assert torch.equal(layer(x)[0], plain(x)[0])
    plain.get_parameter("weight_hh_l0").data.zero_()
    assert torch.equal(layer(x)[0], plain(x)[0])
    plain.get_parameter("weight_hh_l0").data.fill_(1.0)
    assert not torch.equal(layer(x)[0], plain(x)[0])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_recurrent_layer_that_ran_can_be_copied_trained_and_finalized(kind: type[Recurrent]) -> None:
    """torch keeps the weights of the last forward in a list, where computed ones would block a deep copy."""
    layer = kind(3, 2)
    x = torch.randn(5, 1, 3)
    attach(layer, "weight_ih_l0", half(*shape_of(layer, "weight_ih_l0")))
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    for _ in range(2):
        before = layer(x)[0]
        before.square().sum().backward()
        optimizer.step()
        assert not torch.equal(layer(x)[0], before)
    plain = copy.deepcopy(layer)
    burn_in(plain)
    assert torch.equal(plain(x)[0], layer(x)[0])
    plain.get_parameter("weight_ih_l0").data.zero_()
    assert not torch.equal(plain(x)[0], layer(x)[0])


def test_what_is_frozen_stays_frozen() -> None:
    layer = nn.Linear(3, 2)
    layer.weight.requires_grad_(False)
    attach(layer, "weight", half(2, 3))
    slice_tensor([(layer, "weight")], {1: torch.tensor([0, 2])})
    assert not stored_of(layer, "weight")[0].requires_grad
    burn_in(layer)
    assert not layer.weight.requires_grad
    assert layer.weight.shape == (2, 2)


def test_a_foreign_parametrization_is_named() -> None:
    net = Net()
    parametrize.register_parametrization(net.inner[0], "weight", nn.Identity())
    with pytest.raises(
        InputError, match=r"'inner\.0\.weight' is under a Identity, which is no constraint of modelpress"
    ):
        tensors_of(net)
