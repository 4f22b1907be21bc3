"""Small networks to x-ray."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from modelpress.graph.export import export
from modelpress.graph.model import Model


class ConvNet(nn.Module):
    """Convolutions with norms, a deconvolution that has no integer kernel, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 32, 3, 1, 1), nn.BatchNorm2d(32)
        )
        self.up = nn.ConvTranspose2d(32, 16, 2, 2)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(torch.relu(self.up(torch.relu(self.body(x)))).mean((2, 3)))
        return y


def conv_net() -> Model:
    return export(ConvNet(), torch.randn(2, 3, 16, 16), check=False)
