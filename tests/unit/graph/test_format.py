"""What small networks keep beyond the contract of tests/contract/test_zoo.py: names, draws, exporting again."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from modelpress.graph.export import export
from modelpress.graph.serialise import load, save
from modelpress.testing.zoo import ZOO

SMALL = ["lenet-300-100", "lenet-5", "resnet-18", "vgg-16-bn", "mobilenet-v2"]


@pytest.fixture(scope="module", params=SMALL)
def trip(request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    entry = ZOO[request.param]
    net = entry.lively()
    model = export(net, entry.example())
    files = save(model)
    return entry, net, model, files, load(files.graph_json, files.tensors)


def test_nothing_is_lost(trip) -> None:  # type: ignore[no-untyped-def]
    _, net, model, _, loaded = trip
    assert model.notes == ()
    assert sum(p.numel() for p in loaded.module.parameters()) == sum(p.numel() for p in net.parameters())
    ours, theirs = dict(loaded.module.state_dict()), net.state_dict()
    assert {n: t.shape for n, t in ours.items()} == {n: t.shape for n, t in theirs.items()}


def test_training_mode_draws_and_counts_alike(trip) -> None:  # type: ignore[no-untyped-def]
    entry, net, _, _, loaded = trip
    x = entry.example(batch=4, seed=3)
    outputs, buffers = [], []
    for module in (copy.deepcopy(net), copy.deepcopy(loaded.module)):
        torch.manual_seed(7)
        outputs.append(module.train()(x))
        buffers.append(dict(module.named_buffers()))
    assert torch.equal(*outputs)
    assert all(torch.equal(t, buffers[1][n]) for n, t in buffers[0].items())


def test_a_loaded_model_exports_again(trip) -> None:  # type: ignore[no-untyped-def]
    entry, net, _, _, loaded = trip
    again = export(loaded.module, entry.example())
    x = entry.example(batch=3, seed=4)
    assert torch.equal(again.module(x), net(x))


def test_export_leaves_the_users_module_alone() -> None:
    entry = ZOO["lenet-5"]
    net = entry.lively().train()
    before = copy.deepcopy(net.state_dict())
    model = export(net, entry.example())
    nn.init.zeros_(next(model.module.parameters()))
    assert net.training
    assert all(torch.equal(t, before[n]) for n, t in net.state_dict().items())


def test_frozen_parameters_stay_frozen() -> None:
    entry = ZOO["lenet-5"]
    net = entry.lively()
    net.get_submodule("conv1").requires_grad_(False)
    files = save(export(net, entry.example()))
    loaded = load(files.graph_json, files.tensors)
    assert {n for n, p in loaded.module.named_parameters() if not p.requires_grad} == {"conv1.weight", "conv1.bias"}
