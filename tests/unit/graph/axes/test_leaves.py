"""Leaf modules between two convolutions: what goes exactly, and what their attributes become."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from modelpress.graph.axes import analyse, keep_count, remove
from modelpress.graph.behaviour import StochasticDepth
from modelpress.graph.model import Model
from modelpress.graph.serialise import load, save
from tests.unit.graph.axes.oracle import check_each_axis, exactness
from tests.unit.graph.axes.traced import traced


class Between(nn.Module):
    def __init__(self, leaf: nn.Module) -> None:
        super().__init__()
        last = isinstance(leaf, nn.LayerNorm | nn.RMSNorm | nn.Linear)
        self.last = last
        self.stem = nn.Linear(3, 8) if last else nn.Conv2d(3, 8, 1)
        self.leaf = leaf
        self.head = nn.Linear(8, 3) if last else nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.leaf(self.stem(x)))
        return out


def source_of(leaf: nn.Module) -> Model:
    net = Between(leaf)
    return traced(net, ("batch", 3) if net.last else ("batch", 3, 4, 4))


STEM = {"stem.out": (8, "")}
LEAVES: dict[str, tuple[Callable[[], nn.Module], dict[str, tuple[int, str]]]] = {
    "transposed conv": (lambda: nn.ConvTranspose2d(8, 8, 2, 2), {**STEM, "leaf.out": (8, "")}),
    "grouped transposed conv": (
        lambda: nn.ConvTranspose2d(8, 8, 2, groups=2),
        {"stem.out.0": (2, ""), "stem.out.1": (4, ""), "leaf.out": (4, "")},
    ),
    "depthwise transposed conv": (lambda: nn.ConvTranspose2d(8, 8, 3, groups=8, bias=False), STEM),
    "depthwise conv": (lambda: nn.Conv2d(8, 8, 3, groups=8), STEM),
    "linear": (lambda: nn.Linear(8, 8, bias=False), {**STEM, "leaf.out": (8, "")}),
    "batch norm": (lambda: nn.BatchNorm2d(8), STEM),
    "batch norm without weights": (lambda: nn.BatchNorm2d(8, affine=False), STEM),
    "batch norm without statistics": (lambda: nn.BatchNorm2d(8, track_running_stats=False), STEM),
    "group norm of single channels": (lambda: nn.GroupNorm(8, 8), STEM),
    "group norm of one group": (lambda: nn.GroupNorm(1, 8), {"stem.out": (8, "GroupNorm")}),
    "layer norm": (lambda: nn.LayerNorm(8), {"stem.out": (8, "LayerNorm")}),
    "layer norm without weights": (lambda: nn.LayerNorm(8, elementwise_affine=False), {"stem.out": (8, "LayerNorm")}),
    "rms norm": (lambda: nn.RMSNorm(8), {"stem.out": (8, "RMSNorm")}),
    "dropout": (lambda: nn.Dropout(0.3), STEM),
    "channel dropout": (lambda: nn.Dropout2d(0.3), STEM),
    "alpha dropout": (lambda: nn.AlphaDropout(0.3), STEM),
    "stochastic depth": (lambda: StochasticDepth(0.3), STEM),
}


@pytest.mark.parametrize("name", LEAVES)
def test_a_leaf_follows(name: str) -> None:
    build, expected = LEAVES[name]
    source = source_of(build())
    assert exactness(source) == expected
    check_each_axis(source)
    axes = analyse(source)
    small = remove(source, axes, {axis.name: torch.arange(keep_count(axis.size, 0.5)) for axis in axes.prunable()})
    inputs = small.examples(batch=3)
    files = save(small)
    assert torch.equal(load(files.graph_json, files.tensors).module(*inputs), small.module(*inputs))


def test_a_grouped_transposed_convolution_loses_groups_and_channels() -> None:
    source = source_of(nn.ConvTranspose2d(8, 8, 2, groups=2))
    axes = analyse(source)
    keep = {"stem.out.0": torch.tensor([1]), "stem.out.1": torch.arange(3), "leaf.out": torch.arange(2)}
    leaf = remove(source, axes, keep).module.get_submodule("leaf")
    assert isinstance(leaf, nn.ConvTranspose2d)
    assert (leaf.in_channels, leaf.out_channels, leaf.groups) == (3, 2, 1)
    assert torch.equal(leaf.weight, source.module.get_parameter("leaf.weight")[4:7, :2])
    assert leaf.bias is not None
    assert torch.equal(leaf.bias, source.module.get_parameter("leaf.bias")[4:6])
