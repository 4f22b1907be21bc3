"""Removing indices from whole networks: exact where it says so, and the rest still runs and trains."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from modelpress.graph.axes import analyse, keep_count, remove
from modelpress.graph.model import Model
from modelpress.graph.serialise import load, save
from modelpress.testing.structure import random_halves, silenced
from tests.unit.graph.axes.nets import NETS, lifted, model
from tests.unit.graph.axes.oracle import difference


def parameter_count(source: Model) -> int:
    return sum(parameter.numel() for parameter in source.module.parameters())


@pytest.mark.parametrize("name", NETS)
def test_removing_what_was_zeroed_changes_nothing_on_exact_axes(name: str) -> None:
    axes = analyse(model(name))
    quiet, keep = silenced(model(name), axes, [axis for axis in axes.prunable() if axis.exact])
    small = remove(quiet, axes, keep)
    assert parameter_count(small) < 0.7 * parameter_count(quiet)
    assert difference(quiet, model(name)) > 0.01, "zeroing must have changed something"
    assert difference(quiet, small) < 1e-5


@pytest.mark.parametrize("name", ["grouped", "attention"])
def test_removing_what_was_zeroed_changes_the_output_on_inexact_axes(name: str) -> None:
    axes = analyse(model(name))
    inexact = [axis for axis in axes.prunable() if not axis.exact]
    assert inexact
    for axis in inexact:
        quiet, keep = silenced(model(name), axes, [axis])
        assert difference(quiet, remove(quiet, axes, keep)) > 1e-3, axis.name


@pytest.mark.parametrize("name", NETS)
def test_half_of_every_width_runs_trains_and_can_be_analysed_again(name: str) -> None:
    source = model(name)
    axes = analyse(source)
    before = {key: value.clone() for key, value in source.module.state_dict().items()}
    small = remove(source, axes, random_halves(axes))
    inputs = small.examples(batch=5)
    out = small.module(*inputs)
    assert out.shape == (5, 10)
    files = save(small)
    assert torch.equal(load(files.graph_json, files.tensors).module(*inputs), out)
    small.module.train()
    small.module(*inputs).square().sum().backward()
    assert all(parameter.grad is not None for parameter in small.module.parameters())
    again = {axis.name: axis.size for axis in analyse(small).prunable()}
    assert again == {axis.name: n for axis in axes.prunable() if (n := keep_count(axis.size, 0.5)) > 1}
    assert all(torch.equal(value, before[key]) for key, value in source.module.state_dict().items())
    assert source.module(*source.examples()).shape == (2, 10), "the model itself is not touched"


def half_width_count(net: nn.Module) -> int:
    """Parameters of a plain network of half its widths, counted layer by layer; the first layer reads 3 channels."""
    total = 0
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            first, depthwise = layer.in_channels == 3, layer.groups > 1
            total += layer.weight.numel() // (2 if first or depthwise else 4)
            total += 0 if layer.bias is None else layer.bias.numel() // 2
        elif isinstance(layer, nn.BatchNorm2d):
            total += layer.num_features
        elif isinstance(layer, nn.Linear):
            last = layer.out_features == 10
            total += layer.weight.numel() // (2 if last else 4) + (10 if last else layer.out_features // 2)
    return total


@pytest.mark.parametrize("name", ["resnet18", "vgg16_bn", "mobilenet_v2"])
def test_half_of_every_width_has_the_parameters_of_the_half_width_network(name: str) -> None:
    axes = analyse(model(name))
    assert parameter_count(remove(model(name), axes, random_halves(axes))) == half_width_count(NETS[name][0]())


def test_a_removed_mlp_computes_what_its_weights_say() -> None:
    source = lifted(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), 4)
    small = remove(source, analyse(source), {"0.out": torch.tensor([5, 0, 2])})
    weights = dict(source.module.named_parameters())
    x, stay = torch.randn(7, 4), [0, 2, 5]
    hidden = (x @ weights["0.weight"][stay].T + weights["0.bias"][stay]).relu()
    torch.testing.assert_close(small.module(x), hidden @ weights["2.weight"][:, stay].T + weights["2.bias"])
