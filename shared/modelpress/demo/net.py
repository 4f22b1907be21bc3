"""A plain ``nn.Module``, written as any user would write one: nothing in it knows modelpress."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources

import torch
from safetensors.torch import load
from torch import Tensor, nn

WIDTHS = (32, 64, 104)
WEIGHTS = "weights.safetensors"
BASELINES = "baselines.json"


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al., "Deep Residual Learning", 2015, arXiv:1512.03385)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        out: Tensor = self.relu(self.bn2(self.conv2(y)) + self.shortcut(x))
        return out


class FashionResNet(nn.Module):
    """ResNet-8 for images [b, 1, 28, 28] float32, normalised; gives logits [b, 10]."""

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        first = widths[0]
        self.stem = nn.Sequential(nn.Conv2d(1, first, 3, 2, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU())
        pairs = zip((first, *widths), widths, strict=False)
        self.blocks = nn.Sequential(*(Block(i, o, 1 if k == 0 else 2) for k, (i, o) in enumerate(pairs)))
        self.classifier = nn.Linear(widths[-1], 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.blocks(self.stem(x)).mean((2, 3)))
        return logits


def example() -> Tensor:
    """Two inputs as the network is called with."""
    return torch.zeros(2, 1, 28, 28)


def weights() -> bytes | None:
    """The shipped weights, or None where the distribution was built without them."""
    file = resources.files(__package__) / WEIGHTS
    return file.read_bytes() if file.is_file() else None


def baselines() -> dict[str, dict[str, float]]:
    """Figures by metric of what the benchmark measured beside the demo, by label; see ``benchmarks/demo.py``."""
    file = resources.files(__package__) / BASELINES
    found: dict[str, dict[str, float]] = json.loads(file.read_text()) if file.is_file() else {}
    return found


def build(data: bytes) -> FashionResNet:
    """The network with the weights ``data`` (safetensors), in eval mode."""
    net = FashionResNet()
    net.load_state_dict(load(data))
    return net.eval()
