"""What a module does only in training is carried, to the same random numbers, or named."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from modelpress.graph.behaviour import Attention, StochasticDepth
from modelpress.graph.export import export
from modelpress.graph.model import Model
from modelpress.graph.serialise import load, save


class DropPath(nn.Module):
    """Stochastic depth as timm writes it."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        noise = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(1 - self.p)
        return x * noise.div_(1 - self.p)


class Residual(nn.Module):
    """A block whose branch is dropped, with dropout behind ``if self.training`` before it."""

    def __init__(self, drop: nn.Module) -> None:
        super().__init__()
        self.a, self.b, self.drop = nn.Linear(6, 6), nn.Linear(6, 6), drop

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.a(x))
        if self.training:
            y = functional.dropout(y, 0.25)
        z: Tensor = self.drop(self.b(y)) + x
        return z


def old_drop_path(x: Tensor, p: float, training: bool) -> Tensor:
    """Stochastic depth as older models of transformers write it."""
    if not training:
        return x
    keep = 1 - p
    noise = keep + torch.rand((x.shape[0],) + (1,) * (x.ndim - 1), dtype=x.dtype, device=x.device)
    return x.div(keep) * noise.floor_()


class OldDropPath(DropPath):
    def forward(self, x: Tensor) -> Tensor:
        return old_drop_path(x, self.p, self.training)


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 24)
        self.drop = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4).unbind(0)
        p = self.drop.p if self.training else 0.0
        return functional.scaled_dot_product_attention(q, k, v, dropout_p=p).transpose(1, 2).flatten(2)


class RateOnlyInTraining(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, 0.4 if self.training else 0.0, self.training)


class NeverDrops(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, 0.4, False)


class DropsItsOutput(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        return functional.dropout(y, 0.5) if self.training else y


class DropsOneOfTwo(nn.Module):
    """The same value is read dropped and whole by one call."""

    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        return torch.cat([y, functional.dropout(y, 0.5) if self.training else y], 1)


class CallsTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drop = DropPath(0.5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.drop(self.drop(x * 2) + 1)
        return y


def again(model: Model) -> Model:
    files = save(model)
    return load(files.graph_json, files.tensors)


def leaves(model: Model, kind: type[nn.Module]) -> dict[str, nn.Module]:
    return {path: leaf for path, leaf in model.leaves() if isinstance(leaf, kind)}


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (nn.Sequential(Residual(DropPath(0.2)), Residual(DropPath(0.4))), (16, 6)),
        (SelfAttention(), (4, 5, 8)),
        (RateOnlyInTraining(), (4, 6)),
        (NeverDrops(), (4, 6)),
        (DropsItsOutput(), (4, 6)),
        (DropsOneOfTwo(), (4, 6)),
        (CallsTwice(), (9, 6)),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, nn.Module) else "",
)
def test_training_is_the_same_to_the_bit(net: nn.Module, shape: tuple[int, ...]) -> None:
    model = again(export(net, torch.randn(2, *shape[1:])))
    assert model.notes == ()
    x = torch.randn(shape)
    outputs = []
    for module in (net.train(), model.module.train()):
        torch.manual_seed(1)
        outputs.append(module(x))
    assert torch.equal(*outputs)


def test_stochastic_depth_is_a_leaf_where_it_stood() -> None:
    model = export(nn.Sequential(Residual(DropPath(0.25)), Residual(DropPath(0.5))), torch.randn(2, 6))
    found = leaves(model, StochasticDepth)
    assert {path: str(leaf) for path, leaf in found.items()} == {
        "0.drop": "StochasticDepth(p=0.25, by_batch=False, rescale=True)",
        "1.drop": "StochasticDepth(p=0.5, by_batch=False, rescale=True)",
    }
    assert len(leaves(model, nn.Dropout)) == 2


def test_one_module_that_is_called_twice_is_one_leaf() -> None:
    model = export(CallsTwice(), torch.randn(2, 6))
    assert list(leaves(model, StochasticDepth)) == ["drop"]
    assert sum(n.target == "drop" for n in model.module.graph.nodes) == 2


def test_other_random_numbers_of_the_same_distribution_are_told() -> None:
    model = export(Residual(OldDropPath(0.25)), torch.randn(2, 6))
    (leaf,) = leaves(model, StochasticDepth).values()
    assert str(leaf) == "StochasticDepth(p=0.25, by_batch=False, rescale=True)"
    assert any("random" in note for note in model.notes)


def test_attention_keeps_its_dropout() -> None:
    (leaf,) = leaves(export(SelfAttention(), torch.randn(2, 5, 8)), Attention).values()
    assert leaf.p == 0.3


class Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x = x + torch.randn_like(x) * 0.1
        y: Tensor = self.layer(x)
        return y


class OnlyInEvaluation(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        return y if self.training else y.softmax(1)


class Anneals(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * (3.0 if self.training else 2.0)


class FrozenNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6)

    def train(self, mode: bool = True) -> FrozenNorm:
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(x)
        return y


class Auxiliary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(6, 6), nn.Linear(6, 2)
        self.aux = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2))
        self.drop = DropPath(0.5)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        y = self.body(x)
        aux = self.aux(y) if self.training else None
        z = self.head(self.drop(y))
        return z if aux is None else (z, aux)


@pytest.mark.parametrize(
    ("net", "told"),
    [
        (Noisy(), [r"randn_like.*test_training\.py.*randn_like\(x\) \* 0\.1 runs only in training"]),
        (OnlyInEvaluation(), ["softmax.*runs only in evaluation"]),
        (Anneals(), [r"is 3\.0 in training, 2\.0 in the graph"]),
        (FrozenNorm(), ["batch norm 'norm' keeps its statistics in training"]),
        (Auxiliary(), ["training returns 2 outputs", "module 'aux' runs only in training", "unused .*aux.0.weight"]),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, nn.Module) else "",
)
def test_what_is_not_carried_is_named(net: nn.Module, told: list[str]) -> None:
    notes = "\n".join(export(net, torch.randn(2, 6)).notes)
    for pattern in told:
        assert re.search(pattern, notes), notes


def test_what_is_carried_beside_an_auxiliary_head() -> None:
    assert list(leaves(export(Auxiliary(), torch.randn(2, 6)), StochasticDepth)) == ["drop"]
