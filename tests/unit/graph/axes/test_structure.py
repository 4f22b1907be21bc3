"""What is tied to what: residual adds, depthwise and grouped convolutions, flattening, concatenation, attention."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from modelpress.graph.axes import Axis, Slice, analyse, remove
from modelpress.graph.export import export
from modelpress.graph.model import Model
from modelpress.testing.structure import silenced
from tests.unit.graph.axes.nets import lifted, model
from tests.unit.graph.axes.oracle import difference


def tied(axis: Axis, kind: str = "weight") -> set[tuple[str, int]]:
    return {(where.parameter, where.dim) for where in axis.slices if where.parameter.endswith(kind)}


def leaf(source: Model, path: str) -> nn.Module:
    return source.module.get_submodule(path)


def test_residual_adds_tie_the_layers_that_write_to_a_stream() -> None:
    axis = analyse(model("resnet18")).axis("layer2.0.conv2.out")
    assert tied(axis) == {
        ("layer2.0.conv2.weight", 0), ("layer2.0.downsample.0.weight", 0), ("layer2.1.conv2.weight", 0),
        ("layer2.1.conv1.weight", 1), ("layer3.0.conv1.weight", 1), ("layer3.0.downsample.0.weight", 1),
        ("layer2.0.bn2.weight", 0), ("layer2.0.downsample.1.weight", 0), ("layer2.1.bn2.weight", 0),
    }  # fmt: skip
    assert ("layer2.0.bn2.running_var", 0) in tied(axis, "running_var")


def test_flattening_gives_each_channel_its_run_of_columns() -> None:
    axes = analyse(model("lenet"))
    axis = axes.axis("conv2.out")
    where = Slice("fc1.weight", 1, 25)
    assert where in axis.slices
    assert axes.positions(axis, where)[2].tolist() == list(range(50, 75))


def test_a_depthwise_convolution_loses_its_groups() -> None:
    source = model("mobilenet_v2")
    axes = analyse(source)
    axis = axes.axis("features.2.conv.0.0.out")
    small = remove(source, axes, {axis.name: torch.arange(10)})
    depthwise = leaf(small, "features.2.conv.1.0")
    assert isinstance(depthwise, nn.Conv2d)
    assert (depthwise.groups, depthwise.in_channels, depthwise.out_channels) == (10, 10, 10)
    norm = leaf(small, "features.2.conv.1.1")
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.num_features == len(norm.weight) == 10


def test_a_grouped_convolution_loses_whole_groups_or_the_same_channels_of_each() -> None:
    source = model("grouped")
    axes = analyse(source)
    assert {axis.name: axis.size for axis in axes.prunable()} == {
        "stem.out.0": 4, "stem.out.1": 3, "grouped.out.1": 6,
    }  # fmt: skip
    small = remove(
        source,
        axes,
        {"stem.out.0": torch.tensor([0, 3]), "stem.out.1": torch.tensor([1, 2]), "grouped.out.1": torch.arange(5)},
    )
    grouped, norm = leaf(small, "grouped"), leaf(small, "norm")
    assert isinstance(grouped, nn.Conv2d)
    assert isinstance(norm, nn.GroupNorm)
    assert (grouped.groups, grouped.in_channels, grouped.out_channels) == (2, 4, 10)
    assert (norm.num_groups, norm.num_channels) == (2, 10)
    assert torch.equal(grouped.weight[5], leaf(source, "grouped").weight[18, 1:])  # type: ignore[index]


def test_group_norm_is_exact_for_groups_only() -> None:
    exact = {axis.name: axis.inexact_because for axis in analyse(model("grouped")).prunable()}
    assert exact == {"stem.out.0": "", "stem.out.1": "", "grouped.out.1": "GroupNorm"}


def test_concatenated_branches_stay_apart_where_a_split_crosses_them() -> None:
    axes = analyse(model("inception"))
    sizes = {axis.name: axis.size for axis in axes.prunable()}
    assert sizes == {"stem.out": 8, "a.out.0": 4, "a.out.1": 2, "b.out": 10, "left.out": 8}
    small = remove(model("inception"), axes, {"a.out.1": torch.tensor([0])})
    assert leaf(small, "left").in_channels == 12
    assert leaf(small, "right").in_channels == 11


def test_attention_gives_heads_and_the_channels_of_each() -> None:
    axes = analyse(model("attention"))
    exact = {axis.name: (axis.size, axis.inexact_because) for axis in axes.prunable()}
    assert exact == {
        "embed.out": (16, "LayerNorm"),
        "key_value.out.0": (4, ""),
        "key_value.out.1": (4, ""),
        "key_value.out.2": (4, ""),
    }
    heads, values = torch.tensor([1, 2]), torch.arange(3)
    small = remove(model("attention"), axes, {"key_value.out.0": heads, "key_value.out.2": values})
    assert leaf(small, "query").out_features == 2 * 4
    assert leaf(small, "key_value").out_features == 2 * 4 + 2 * 3
    assert leaf(small, "out").in_features == 2 * 3


class Tied(nn.Module):
    """The embedding is the output layer too."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.hidden = nn.Linear(8, 8, bias=False)
        self.decoder = nn.Linear(8, 11, bias=False)
        self.decoder.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.decoder(self.hidden(self.embedding(tokens)).relu())
        return out


def test_weights_that_share_a_tensor_go_on_sharing_it() -> None:
    source = export(Tied().eval(), torch.randint(0, 11, (2, 5)), check=False)
    (embedding, _), _, (decoder, _) = source.leaves()
    axes = analyse(source)
    (hidden,) = (axis for axis in axes.prunable() if (f"{embedding}.weight", 1) in tied(axis))
    assert (f"{decoder}.weight", 1) not in tied(hidden), "a shared tensor counts once"
    small = remove(source, axes, {axis.name: torch.arange(5) for axis in axes.prunable()})
    assert leaf(small, embedding).weight is leaf(small, decoder).weight
    assert leaf(small, embedding).embedding_dim == leaf(small, decoder).in_features == 5
    assert small.module(torch.zeros(3, 4, dtype=torch.long)).shape == (3, 4, 11)
    assert axes.frozen() == {f"{embedding}.vocabulary": "vocabulary"}


class Reduction(nn.Module):
    """What becomes of two layers' outputs of the same width, and nothing after it."""

    def __init__(self, reduce: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.reduce = reduce
        self.a = nn.Linear(4, 6)
        self.b = nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.reduce(self.a(x), self.b(x))


def inner(a: Tensor, b: Tensor) -> Tensor:
    return a.unsqueeze(1) @ b.unsqueeze(2)


def outer(a: Tensor, b: Tensor) -> Tensor:
    return a.unsqueeze(2) * b.unsqueeze(1)


@pytest.mark.parametrize(
    ("reduce", "inexact_because"),
    [
        (lambda a, b: a.relu().sum(1), ""),
        (lambda a, b: a.clamp(-1, 1).sum(1), ""),
        (lambda a, b: (a * b.sigmoid()).sum(1), ""),
        (lambda a, b: (a / b.exp()).sum(1), ""),
        ((lambda a, b: ((a - b) ** 2).sum(1)), ""),
        (lambda a, b: torch.cat([a, a.relu()], 1).sum(1), ""),
        (lambda a, b: inner(a.exp(), b), ""),
        (lambda a, b: a.sigmoid().sum(1), "sum"),
        (lambda a, b: a.clamp(0.5, 1).sum(1), "sum"),
        (lambda a, b: (a + 1).sum(1), "sum"),
        (lambda a, b: (a + b.exp()).sum(1), "sum"),
        (lambda a, b: torch.cat([a, a.exp()], 1).sum(1), "sum"),
        (lambda a, b: inner(a.exp(), b + 1), "matmul"),
        (lambda a, b: a.mean(1), "mean"),
        (lambda a, b: (-a.abs()).amax(1), "amax"),
        (lambda a, b: inner(a.softmax(1), b), "softmax"),
        (lambda a, b: outer(a, a).sum((1, 2)), ""),
        (lambda a, b: outer(a, a.exp()).sum(1).sum(1), "sum"),
        (lambda a, b: (a.unsqueeze(1) @ outer(a.exp(), a.exp())).sum((1, 2)), "sum"),
    ],
)
def test_a_contraction_is_exact_where_a_factor_vanishes(
    reduce: Callable[[Tensor, Tensor], Tensor], inexact_because: str
) -> None:
    source = lifted(Reduction(reduce), 4)
    axes = analyse(source)
    axis = axes.axis("a.out")
    assert axis.inexact_because == inexact_because
    quiet, keep = silenced(source, axes, list(axes.prunable()))
    assert (difference(quiet, remove(quiet, axes, keep)) < 1e-5) == axis.exact
