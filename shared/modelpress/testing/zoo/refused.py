"""Modules that cannot be lifted, small ones, each for its own reason: the errors are the documentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Refused:
    """A module, what it is called with, and a word that the error must hold."""

    build: Callable[[], nn.Module]
    inputs: Callable[[], tuple[Any, ...]]
    says: str


def _image() -> tuple[Tensor]:
    return (torch.randn(2, 3, 32, 32),)


def _vector() -> tuple[Tensor]:
    return (torch.randn(2, 4),)


class BranchOnData(nn.Module):
    """Takes another path where the values are large."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x - 1


class Nonzero(nn.Module):
    """An output as long as there are positive values."""

    def forward(self, x: Tensor) -> Tensor:
        return x[x > 0]


class PackedSequence(nn.Module):
    """A recurrent layer over packed sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(4, 8, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        lengths = torch.full((x.shape[0],), x.shape[1])
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
        out: Tensor = nn.utils.rnn.pad_packed_sequence(self.recurrent(packed)[0], batch_first=True)[0]
        return out


class Counting(nn.Module):
    """Changes a buffer of its own in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(self.calls, Tensor)
        self.calls.add_(1)
        return x * self.calls


class Fourier(nn.Module):
    """Complex numbers."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.fft.rfft(x).abs()
        return y


class Noisy(nn.Module):
    """Draws random numbers in evaluation."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x)


class Conditional(nn.Module):
    """`torch.cond`."""

    def forward(self, x: Tensor) -> Tensor:
        chosen: Tensor = torch.cond(x.sum() > 0, lambda t: t.sin(), lambda t: t.cos(), (x,))
        return chosen


def _detector() -> nn.Module:
    import torchvision

    net: nn.Module = torchvision.models.detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)
    return net


REFUSED: Mapping[str, Refused] = {
    "a branch on data": Refused(BranchOnData, _vector, "depends on the values"),
    "an output whose size depends on data": Refused(Nonzero, _vector, "makes sizes"),
    "a packed sequence": Refused(PackedSequence, lambda: (torch.randn(2, 5, 4),), "packed sequences"),
    "a module that changes its own buffer in evaluation": Refused(Counting, _vector, "changes"),
    "an operator outside of the format (FFT)": Refused(Fourier, _vector, "fft"),
    "random numbers in evaluation": Refused(Noisy, _vector, "randn_like"),
    "torch.cond": Refused(Conditional, _vector, "cond"),
    "a detector with suppression inside": Refused(
        _detector, lambda: ([torch.randn(3, 320, 320)],), "depends on the values"
    ),
}
