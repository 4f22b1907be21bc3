"""Slim copies: a share of every width, once."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelpress.graph.axes.slim import reset, slim
from modelpress.graph.export import export
from modelpress.graph.model import Model
from modelpress.testing.zoo import ZOO


class Heads(nn.Module):
    """Attention written out: a width that is heads x head size."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(32, 32) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (f(x).unflatten(-1, (4, 8)).transpose(1, 2) for f in (self.q, self.k, self.v))
        y: Tensor = self.out((F.softmax(q @ k.transpose(-1, -2) / 8**0.5, -1) @ v).transpose(1, 2).flatten(2))
        return y


def _zoo(name: str) -> Model:
    return export(ZOO[name].lively(), ZOO[name].example(), check=False)


def test_every_width_of_a_residual_network_is_halved() -> None:
    model = _zoo("resnet-18")
    small = slim(model, 0.5)
    for path, layer in model.leaves():
        other = small.module.get_submodule(path)
        if isinstance(layer, nn.Conv2d) and isinstance(other, nn.Conv2d):
            assert other.out_channels == layer.out_channels // 2
    assert small.module(torch.randn(3, 3, 64, 64)).shape == (3, 10)


def test_of_a_product_only_the_heads_go() -> None:
    small = slim(export(Heads().eval(), torch.randn(2, 5, 32)), 0.5)
    q, out = small.module.get_submodule("q"), small.module.get_submodule("out")
    assert isinstance(q, nn.Linear)
    assert isinstance(out, nn.Linear)
    assert (q.out_features, out.in_features) == (16, 16)
    views = [n.args[2] for n in small.module.graph.nodes if n.target is torch.ops.aten.unflatten.int]
    assert views == [[2, 8]] * 3


def test_groups_go_whole() -> None:
    net = nn.Sequential(nn.Conv2d(3, 64, 1), nn.Conv2d(64, 64, 3, groups=8), nn.Conv2d(64, 2, 1)).eval()
    small = slim(export(net, torch.randn(2, 3, 8, 8)), 0.5)
    grouped = small.module.get_submodule("1")
    assert isinstance(grouped, nn.Conv2d)
    assert (grouped.groups, grouped.in_channels, grouped.weight.shape[1]) == (4, 32, 8)


def test_new_weights_follow_the_seed_and_old_ones_are_left_alone() -> None:
    model = _zoo("lenet-5")
    before = model.module.state_dict()["conv2.weight"].clone()
    first, again, other = (slim(model, 0.5, 2, seed).module.state_dict()["conv2.weight"] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, slim(model, 0.5, 2).module.state_dict()["conv2.weight"])
    assert torch.equal(before, model.module.state_dict()["conv2.weight"])


def test_resetting_forgets_the_batch_statistics() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)).eval()
    nn.init.constant_(net[1].running_mean, 3.0)  # type: ignore[arg-type]
    fresh = reset(export(net, torch.randn(2, 1, 8, 8)), seed=0).module.state_dict()
    assert torch.equal(fresh["1.running_mean"], torch.zeros(4))
