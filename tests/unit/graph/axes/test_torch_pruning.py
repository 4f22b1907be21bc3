"""Torch-Pruning as an oracle: where it works, our axes tie the same parameter dimensions together."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch_pruning
from torch import nn

from modelpress.graph.axes import Axes, analyse
from modelpress.graph.export import export
from modelpress.graph.model import Model
from modelpress.testing.zoo import ZOO

Group = frozenset[tuple[str, int]]


LEAST = {"lenet-5": 4, "vgg-16-bn": 13, "resnet-18": 12, "resnet-50": 36, "mobilenet-v2": 24, "densenet-121": 119}
"""Groups that each network is known to have at the least: an oracle that finds nothing must not agree."""


@pytest.mark.parametrize("name", LEAST)
def test_the_same_dimensions_move_together(name: str) -> None:
    model = export(ZOO[name].lively(), ZOO[name].example(), check=False)
    theirs = _theirs(model)
    assert len(theirs) >= LEAST[name]
    assert _ours(model, analyse(model)) == theirs


def _ours(model: Model, axes: Axes) -> set[Group]:
    parameters = dict(model.module.named_parameters())
    return {frozenset((s.parameter, s.dim) for s in a.slices if s.parameter in parameters) for a in axes.prunable()}


def _theirs(model: Model) -> set[Group]:
    """The groups that start at any layer's outputs, but for the one that the graph's output freezes."""
    graph = torch_pruning.DependencyGraph().build_dependency(model.module, model.examples(), verbose=False)
    names = {id(module): path for path, module in model.module.named_modules()}
    last = next(reversed([m for _, m in model.leaves() if isinstance(m, nn.Linear)]))
    groups = graph.get_all_groups(ignored_layers=[last], root_module_types=[nn.Conv2d, nn.Linear])
    return {frozenset(_dimensions(group, names)) for group in groups}


def _dimensions(group: torch_pruning.Group, names: dict[int, str]) -> Iterator[tuple[str, int]]:
    for item in group:
        module, path = item.dep.target.module, names.get(id(item.dep.target.module))
        if path is None or not isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
            continue
        ends_inputs = "in_channels" in item.dep.handler.__name__ and not isinstance(module, nn.BatchNorm2d)
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
            ends_inputs = False  # a depthwise kernel has one input channel a group: its outputs are its inputs
        yield f"{path}.weight", int(ends_inputs)
        if not ends_inputs and isinstance(module.bias, torch.Tensor):
            yield f"{path}.bias", 0
