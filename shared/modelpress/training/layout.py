"""Memory formats: CPU convolutions are 20 to 30 % faster where channels lie next to each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def channels_last(inputs: Tensor) -> Tensor:
    """4-d inputs [b, c, h, w] with their channels next to each other; others as they are."""
    return inputs.contiguous(memory_format=torch.channels_last) if inputs.ndim == 4 else inputs


def lay_out(module: nn.Module, memory_format: torch.memory_format) -> None:
    """Bring the 4-d parameters of ``module`` into ``memory_format``, in place; values and shapes stay."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=memory_format)
