"""Inexact axes: removing equals the same graph with its norms and means over what stays only."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from modelpress.graph.axes import analyse, remove
from modelpress.graph.model import Model
from modelpress.testing.kept_only import kept_only
from modelpress.testing.structure import silenced
from tests.unit.graph.axes.nets import model
from tests.unit.graph.axes.test_attention import Tokens
from tests.unit.graph.axes.test_functional import CASES, Computed
from tests.unit.graph.axes.test_reductions import AVERAGES, SUMS, Reduction, of, with_sigmoid
from tests.unit.graph.axes.traced import traced


class Norms(nn.Module):
    """One norm over what a convolution wrote, twice: the second sees what the first left."""

    def __init__(self, norm: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv1d(3, 12, 1), nn.Conv1d(12, 4, 1)
        self.first, self.second = norm(), norm()

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        last = isinstance(self.first, nn.LayerNorm | nn.RMSNorm)
        y = torch.ops.aten.transpose.int(y, 1, 2) if last else y
        y = self.second(torch.ops.aten.relu.default(self.first(y)))
        out: Tensor = self.head(torch.ops.aten.transpose.int(y, 1, 2) if last else y)
        return out


def computed(name: str) -> Callable[[], Model]:
    operator, spatial, shapes, _ = CASES[name]
    return lambda: traced(Computed(operator, spatial, **shapes), ("batch", 3, *[5] * spatial))


def normed(norm: Callable[[], nn.Module]) -> Callable[[], Model]:
    return lambda: traced(Norms(norm), ("batch", 3, 7))


def reduced(reduce: Callable[[Tensor], Tensor], sigmoid: bool = False) -> Callable[[], Model]:
    return lambda: traced(Reduction((with_sigmoid if sigmoid else of)(reduce)), ("batch", 4))


SOURCES: dict[str, Callable[[], Model]] = {
    "layer norm": normed(lambda: nn.LayerNorm(12)),
    "layer norm without weights": normed(lambda: nn.LayerNorm(12, elementwise_affine=False)),
    "rms norm": normed(lambda: nn.RMSNorm(12)),
    "group norm": normed(lambda: nn.GroupNorm(3, 12)),
    "attention": lambda: traced(Tokens(), ("batch", 5)),
    "whole attention net": lambda: model("attention"),
    "whole group norm net": lambda: model("grouped"),
    **{f"{name}, functional": computed(name) for name in (
        "layer norm", "layer norm without weights", "rms norm", "group norm", "standardised conv",
        "conv standardised by a batch norm",
    )},
    **{name: reduced(reduce) for name, reduce in AVERAGES.items()},
    **{f"{name} of a sigmoid": reduced(reduce, sigmoid=True) for name, reduce in SUMS.items()},
}  # fmt: skip


@pytest.mark.parametrize("name", SOURCES)
def test_a_removal_equals_the_reference(name: str) -> None:
    source = SOURCES[name]()
    axes = analyse(source)
    inexact = [axis for axis in axes.prunable() if not axis.exact]
    assert inexact
    quiet, keep = silenced(source, axes, inexact)
    inputs = source.examples(batch=3)
    small = remove(quiet, axes, keep).module(*inputs)
    whole = quiet.module(*inputs)
    torch.testing.assert_close(small, kept_only(quiet, axes, keep, inputs))
    assert not torch.allclose(small, whole, rtol=1e-3), "the reference must differ from the graph as it is"
