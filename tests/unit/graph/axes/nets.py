"""Networks that the axes are tried on, small enough to export in a second."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import vgg

from modelpress.graph.export import export
from modelpress.graph.model import Model


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 20), nn.ReLU(), nn.Linear(20, 12), nn.Tanh(), nn.Linear(12, 10))


class LeNet(nn.Module):
    """LeNet-5: a flattened map of 5 x 5 makes 25 columns a channel in ``fc1``."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.conv1(x).relu())
        x = self.pool(self.conv2(x).relu())
        x = x.view(-1, 16 * 5 * 5)
        out: Tensor = self.fc3(self.fc2(self.fc1(x).relu()).relu())
        return out


def resnet18() -> nn.Module:
    net: nn.Module = torchvision.models.resnet18(num_classes=10)
    return net


def vgg16_bn() -> nn.Module:
    """The convolutions of VGG-16-BN; its classifier is narrowed, which is most of its time and none of its point."""
    head = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(512 * 4, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 10)]
    return nn.Sequential(vgg.make_layers(vgg.cfgs["D"], batch_norm=True), *head)


def mobilenet_v2() -> nn.Module:
    net: nn.Module = torchvision.models.mobilenet_v2(num_classes=10)
    return net


class Inception(nn.Module):
    """Branches of unlike width concatenated, then split again into parts that cross their borders."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.a = nn.Conv2d(8, 6, 1)
        self.b = nn.Conv2d(8, 10, 3, padding=1)
        self.norm = nn.BatchNorm2d(24)
        self.left = nn.Conv2d(12, 8, 1)
        self.right = nn.Conv2d(12, 8, 1)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = self.norm(torch.cat([x, self.a(x), self.b(x)], 1)).relu()
        left, right = x.chunk(2, 1)
        out: Tensor = self.head((self.left(left) + self.right(right)).mean((2, 3)))
        return out


class Grouped(nn.Module):
    """A grouped convolution whose groups have unlike numbers of channels in and out, and a group norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, padding=1)
        self.grouped = nn.Conv2d(12, 24, 3, padding=1, groups=4)
        self.norm = nn.GroupNorm(4, 24)
        self.head = nn.Conv2d(24, 10, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.norm(self.grouped(self.stem(x).relu())).relu()).mean((2, 3))
        return out


class Attention(nn.Module):
    """Attention of four heads by hand, over a residual stream whose width is the model's own."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(5, 16)
        self.position = nn.Parameter(torch.randn(1, 6, 16))
        self.norm = nn.LayerNorm(16)
        self.scale = nn.Parameter(torch.tensor(0.5))
        self.query = nn.Linear(16, 16)
        self.key_value = nn.Linear(16, 32)
        self.out = nn.Linear(16, 16)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x) + self.position
        batch, length, _ = x.shape
        y = self.norm(x)
        key, value = self.key_value(y).chunk(2, -1)
        query, key, value = (t.view(batch, length, 4, 4).transpose(1, 2) for t in (self.query(y), key, value))
        weights = (query @ key.transpose(-1, -2) * self.scale).softmax(-1)
        x = x + self.out((weights @ value).transpose(1, 2).flatten(2))
        logits: Tensor = self.head(x.mean(1))
        return logits


NETS: Mapping[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (mlp, (3, 4, 4)),
    "lenet": (LeNet, (1, 32, 32)),
    "resnet18": (resnet18, (3, 32, 32)),
    "vgg16_bn": (vgg16_bn, (3, 32, 32)),
    "mobilenet_v2": (mobilenet_v2, (3, 32, 32)),
    "inception": (Inception, (3, 8, 8)),
    "grouped": (Grouped, (3, 8, 8)),
    "attention": (Attention, (6, 5)),
}


def lifted(net: nn.Module, *shape: int) -> Model:
    """``net`` with random batch-norm statistics, exported on one input of ``[batch, *shape]``."""
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            module.running_mean = torch.randn(module.num_features)
            module.running_var = torch.rand(module.num_features) + 0.5
    return export(net.eval(), torch.randn(2, *shape), check=False)


@cache
def model(name: str) -> Model:
    """One of `NETS`; shared, so copy it before changing a weight."""
    torch.manual_seed(0)
    build, shape = NETS[name]
    return lifted(build(), *shape)
