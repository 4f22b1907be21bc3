import pytest
import torch
from torch import Tensor, nn

from modelpress.constraints.attach import attach
from modelpress.constraints.dequantize import attach_dequantize
from modelpress.constraints.mask import Mask
from modelpress.constraints.stack import constraints_of, stored_of
from modelpress.graph.export import export
from modelpress.graph.fold import fold_batch_norm
from modelpress.graph.model import Model
from modelpress.testing.zoo import ZOO

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def norms(model: Model) -> int:
    return sum(isinstance(leaf, NORMS) for _, leaf in model.leaves())


def lively(net: nn.Module) -> nn.Module:
    """Statistics and scales far from the fresh ones, which would hide mistakes."""
    for module in net.modules():
        if isinstance(module, NORMS):
            for tensor in (module.running_mean, module.running_var, module.weight, module.bias):
                assert tensor is not None
                nn.init.uniform_(tensor, 0.5, 1.5)
    return net


@pytest.mark.parametrize("name", ["resnet-18", "mobilenet-v2"])
def test_outputs_stay_and_norms_go(name: str) -> None:
    entry = ZOO[name]
    model = export(entry.lively(), entry.example(), check=False)
    folded = fold_batch_norm(model)
    assert norms(model) > 0
    assert norms(folded) == 0
    x = entry.example(3, seed=1)
    with torch.no_grad():
        expected, actual = model.module(x), folded.module(x)
    assert torch.allclose(actual, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


class Shared(nn.Module):
    """A convolution that is read before its norm too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        z: Tensor = self.norm(y) + y
        return z


class Positions(nn.Module):
    """Batch norm over the positions of [n, t, o], where t happens to equal o."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(4, 3), nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.linear(x))
        return y


class Flat(Positions):
    """The same over features of [n, o]."""


@pytest.mark.parametrize(
    ("net", "shape", "left"),
    [(Shared(), (1, 6, 6), 1), (Positions(), (3, 4), 1), (Flat(), (4,), 0)],
    ids=lambda v: str(v),
)
def test_only_what_may_be_folded_is(net: nn.Module, shape: tuple[int, ...], left: int) -> None:
    model = export(lively(net), torch.randn(2, *shape), check=False)
    folded = fold_batch_norm(model)
    x = torch.randn(5, *shape)
    assert norms(folded) == left
    assert torch.allclose(folded.module(x), model.module(x), atol=1e-5)


def test_the_model_itself_is_left_alone() -> None:
    model = export(lively(Flat()), torch.randn(2, 4), check=False)
    before = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
    fold_batch_norm(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.module.state_dict().items())
    assert norms(model) == 1


def test_a_mask_stays_on_what_is_folded() -> None:
    model = export(lively(Flat()), torch.randn(2, 4), check=False)
    keep = torch.arange(12).view(3, 4) % 3 == 0
    attach(model.module, "linear.weight", Mask(keep))
    folded = fold_batch_norm(model)
    x = torch.randn(5, 4)
    assert norms(folded) == 0
    assert torch.allclose(folded.module(x), model.module(x), atol=1e-5)
    layer = folded.module.get_submodule("linear")
    assert isinstance(layer, nn.Linear)
    assert [type(c) for c in constraints_of(layer, "weight")] == [Mask]
    assert torch.equal(layer.weight == 0, ~keep)
    assert bool((stored_of(layer, "weight")[0] != 0).all())


def test_under_another_constraint_a_norm_is_left_alone() -> None:
    model = export(lively(Flat()), torch.randn(2, 4), check=False)
    linear = model.module.get_submodule("linear")
    attach_dequantize(linear, "weight", torch.ones(3, 4, dtype=torch.int8), torch.ones(3))
    assert norms(fold_batch_norm(model)) == 1
