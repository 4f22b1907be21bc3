"""Small and well-known architectures with random weights, for tests and benchmarks (torchvision is a test extra)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


class Lenet300(nn.Module):
    """LeNet-300-100 (LeCun 1998): a multilayer perceptron on flattened images."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x.flatten(1))
        return y


class Lenet5(nn.Module):
    """LeNet-5 (LeCun 1998), functional style, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        x = functional.relu(self.fc1(x.view(x.size(0), -1)))
        x = functional.dropout(functional.relu(self.fc2(x)), 0.3, self.training)
        y: Tensor = self.fc3(x)
        return y


@dataclass(frozen=True)
class Entry:
    """How to build a network, and the shape of one of its inputs without the batch."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]

    def example(self, batch: int = 2, seed: int = 0) -> Tensor:
        return torch.randn(batch, *self.shape, generator=torch.Generator().manual_seed(seed))

    def lively(self, seed: int = 0) -> nn.Module:
        """Built with ``seed``, its batch-norm statistics and affine parameters random: fresh ones hide mistakes."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = self.build()
            for module in net.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    nn.init.uniform_(module.weight, 0.5, 1.5)
                    nn.init.normal_(module.bias, std=0.1)
                    nn.init.normal_(module.running_mean, std=0.1)  # type: ignore[arg-type]
                    nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
        return net.eval()


def _torchvision(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import torchvision

        net: nn.Module = getattr(torchvision.models, name)(num_classes=10)
        return net

    return build


def _vgg() -> nn.Module:
    """VGG-16-BN for small images: one linear layer behind the convolutions, as is usual on CIFAR."""
    net = _torchvision("vgg16_bn")()
    net.avgpool = nn.AdaptiveAvgPool2d(1)
    net.classifier = nn.Sequential(nn.Dropout(0.5), nn.Linear(512, 10))
    return net


ZOO: Mapping[str, Entry] = {
    "lenet-300-100": Entry(Lenet300, (1, 28, 28)),
    "lenet-5": Entry(Lenet5, (1, 28, 28)),
    "resnet-18": Entry(_torchvision("resnet18"), (3, 64, 64)),
    "resnet-50": Entry(_torchvision("resnet50"), (3, 64, 64)),
    "vgg-16-bn": Entry(_vgg, (3, 32, 32)),
    "mobilenet-v2": Entry(_torchvision("mobilenet_v2"), (3, 64, 64)),
}
