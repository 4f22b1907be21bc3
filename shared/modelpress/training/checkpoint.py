"""Unfinished training as bytes: a safetensors file whose header says where the training stands.

Tensors: ``model.<name>`` parameters and buffers, ``momentum.<name>`` the optimizer's buffers, ``random_state`` the
generator's state (uint8). Header entry ``fit``: JSON with the settings and the finished epochs' figures.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import safetensors
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from modelpress.errors import ModelFormatError

MOMENTUM = "momentum_buffer"


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, as above, and the header's facts (``settings``, ``epochs``)."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def capture(module: nn.Module, optimizer: torch.optim.Optimizer, facts: dict[str, Any]) -> bytes:
    """The state of module, optimizer and the default random generator, with JSON ``facts``."""
    tensors = {f"model.{name}": tensor.detach().contiguous() for name, tensor in _state(module)}
    for name, parameter in module.named_parameters():
        buffer = optimizer.state.get(parameter, {}).get(MOMENTUM)
        if buffer is not None:
            tensors[f"momentum.{name}"] = buffer.contiguous()
    tensors["random_state"] = torch.get_rng_state()
    return bytes(save(tensors, metadata={"fit": json.dumps(facts, sort_keys=True)}))


def parse(data: bytes) -> Checkpoint:
    """The checkpoint in ``data``.

    Raises:
        ModelFormatError: the bytes are none.
    """
    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return Checkpoint(tensors, json.loads(header["__metadata__"]["fit"]))
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise ModelFormatError(f"no training checkpoint: {error}; expected a safetensors file of our own") from error


def mismatch(checkpoint: Checkpoint, module: nn.Module) -> str | None:
    """Why ``checkpoint`` is not one of ``module``: the first name or shape that differs, or None where all agree."""
    saved = {n.removeprefix("model."): t.shape for n, t in checkpoint.tensors.items() if n.startswith("model.")}
    own = {name: tensor.shape for name, tensor in _state(module)}
    for name in sorted(saved.keys() | own.keys()):
        if saved.get(name) != own.get(name):
            return f"'{name}' is {_shape(saved.get(name))} in the checkpoint and {_shape(own.get(name))} in the model"
    return None


def restore(checkpoint: Checkpoint, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put module, optimizer and the default random generator where they were when the checkpoint was taken."""
    with torch.no_grad():
        for name, tensor in _state(module):
            tensor.copy_(checkpoint.tensors[f"model.{name}"])
        for name, parameter in module.named_parameters():
            saved = checkpoint.tensors.get(f"momentum.{name}")
            if saved is not None:
                optimizer.state[parameter][MOMENTUM] = torch.empty_like(parameter).copy_(saved)
    torch.set_rng_state(checkpoint.tensors["random_state"])


def _state(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers, tied ones once (safetensors refuses shared memory)."""
    yield from module.named_parameters()
    yield from module.named_buffers()


def _shape(shape: torch.Size | None) -> str:
    return "absent" if shape is None else str(tuple(shape))
