"""``tensors.safetensors``: the tensors of a model by name."""

from __future__ import annotations

from collections.abc import Mapping

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from modelpress.errors import ModelFormatError
from modelpress.graph.document import TensorRecord


def read(data: bytes, records: Mapping[str, TensorRecord]) -> dict[str, Tensor]:
    """Tensors by name, ties resolved, parameters made parameters; names must be exactly those of ``graph.json``."""
    try:
        stored = safetensors.torch.load(data)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as e:
        raise ModelFormatError(f"tensors.safetensors cannot be read: {e}") from e
    wanted = {name for name, record in records.items() if record.tied_to is None}
    if wanted != set(stored):
        odd = sorted(wanted ^ set(stored))[:5]
        raise ModelFormatError(f"tensors.safetensors and graph.json name different tensors: {', '.join(odd)}")
    made = {name: _as_recorded(name, stored[name], records[name]) for name in sorted(wanted)}
    for name, record in records.items():
        if record.tied_to is not None:
            if record.tied_to not in made or record.tied_to not in wanted:
                raise ModelFormatError(f"tensors.{name}: tied to '{record.tied_to}', which is not stored")
            made[name] = made[record.tied_to]
    return made


def _as_recorded(name: str, tensor: Tensor, record: TensorRecord) -> Tensor:
    if record.kind == "buffer":
        if record.trainable:
            raise ModelFormatError(f"tensors.{name}: a buffer is not trainable")
        return tensor
    if record.trainable and not tensor.is_floating_point():
        raise ModelFormatError(f"tensors.{name}: {tensor.dtype} cannot be trained")
    return nn.Parameter(tensor, requires_grad=record.trainable)
