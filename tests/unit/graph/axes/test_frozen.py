"""What must stay as it is says why."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from modelpress.errors import InputError
from modelpress.graph.axes import analyse
from modelpress.graph.axes.analysis import rule_of
from modelpress.graph.axes.leaves import leaf_rule
from modelpress.graph.leaves import CONFIGS
from modelpress.graph.operators import PLAIN, targets
from tests.unit.graph.axes.nets import lifted, model

WITHOUT_A_RULE = {"aten.conv2d.default", *PLAIN} - {"item"}
"""A convolution whose kernel the graph computes, which freezes what it touches, and arithmetic on sizes."""


@pytest.mark.parametrize(
    ("name", "frozen"),
    [
        ("resnet18", {"conv1.in": "input", "fc.out": "output"}),
        ("mobilenet_v2", {"features.0.0.in": "input", "classifier.1.out": "output"}),
        ("mlp", {"1.in.0": "input", "1.in.1": "input", "1.in.2": "input", "5.out": "output"}),
        ("inception", {"stem.in": "input", "head.out": "output"}),
    ],
)
def test_inputs_and_outputs_are_frozen(name: str, frozen: dict[str, str]) -> None:
    assert analyse(model(name)).frozen() == frozen


def test_the_places_of_a_flattened_map_are_frozen_by_what_made_them() -> None:
    frozen = analyse(model("vgg16_bn")).frozen()
    assert frozen.pop("3.in.1") == frozen.pop("3.in.2")
    assert frozen == {"0.0.in": "input", "6.out": "output"}
    assert "adaptive_avg_pool2d" in analyse(model("vgg16_bn")).frozen()["3.in.1"]


@pytest.mark.parametrize("name", sorted(targets()))
def test_every_operator_of_the_format_has_a_rule(name: str) -> None:
    graph = torch.fx.Graph()
    node = graph.call_function(targets()[name])
    assert (rule_of(node, None) is None) == (name in WITHOUT_A_RULE)


@pytest.mark.parametrize("kind", sorted(CONFIGS))
def test_every_leaf_of_the_format_has_a_rule(kind: str) -> None:
    module = CONFIGS[kind].module
    assert leaf_rule(module.__new__(module)) is not None


class ComputedKernel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before = nn.Conv2d(3, 6, 1)
        self.kernel = nn.Parameter(torch.randn(5, 6, 1, 1))
        self.after = nn.Conv2d(5, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.after(F.conv2d(self.before(x), self.kernel.tanh()))
        return out


def test_an_operator_without_a_rule_freezes_what_it_touches() -> None:
    frozen = analyse(lifted(ComputedKernel(), 3, 4, 4)).frozen()
    assert frozen["before.out"] == frozen["kernel.0"] == frozen["after.in"] == "no rule for conv2d at conv2d_default"


def test_a_parametrized_leaf_is_refused_by_name() -> None:
    source = model("mlp")
    source = source.with_(module=copy.deepcopy(source.module))
    parametrize.register_parametrization(source.module.get_submodule("3"), "weight", nn.Identity())
    with pytest.raises(InputError, match=r"'3' is under a constraint \(weight\); finalize it"):
        analyse(source)
