"""What must stay as it is says why."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from modelpress.errors import InputError
from modelpress.graph.axes import analyse
from modelpress.graph.axes.analysis import rule_of
from modelpress.graph.axes.leaves import leaf_rule
from modelpress.graph.leaves import CONFIGS
from modelpress.graph.operators import PLAIN, targets
from modelpress.graph.serialise import load, save
from tests.unit.graph.axes.nets import lifted, model
from tests.unit.graph.axes.traced import traced

WITHOUT_A_RULE = {name for name in PLAIN if name.startswith("int_")}
"""Arithmetic on sizes, whose values have no dimensions."""


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


class Renormed(nn.Module):
    """An operator that no list of the format has."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = nn.Linear(3, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.after(torch.ops.aten.renorm.default(self.before(x), 2, 0, 1.0))
        return out


def test_an_operator_without_a_rule_freezes_what_it_touches() -> None:
    frozen = analyse(traced(Renormed(), ("batch", 3))).frozen()
    assert frozen["before.out"] == frozen["after.in"] == "no rule for renorm at renorm_default"


class Filled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = nn.Linear(3, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        x = torch.masked_scatter(x, x > 0, x * 2)
        out: Tensor = self.after(x)
        return out


def test_a_reason_has_the_users_line() -> None:
    source = lifted(Filled(), 3)
    assert re.fullmatch(
        r"masked_scatter at masked_scatter_default, called at test_frozen\.py:\d+: x = torch\.masked_scatter\(.*\)",
        analyse(source).frozen()["before.out"],
    )
    files = save(source)
    loaded = load(files.graph_json, files.tensors)
    assert analyse(loaded).frozen()["before.out"] == "masked_scatter at masked_scatter_default", "files keep no lines"


def test_a_parametrized_leaf_is_refused_by_name() -> None:
    source = model("mlp")
    source = source.with_(module=copy.deepcopy(source.module))
    parametrize.register_parametrization(source.module.get_submodule("3"), "weight", nn.Identity())
    with pytest.raises(InputError, match=r"'3\.weight' is under a Identity, which is no constraint"):
        analyse(source)
