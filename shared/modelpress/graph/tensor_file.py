"""``tensors.safetensors``: the tensors of a model by name."""

from __future__ import annotations

from collections.abc import Mapping

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from modelpress.errors import ModelFormatError
from modelpress.graph.arguments import DTYPES
from modelpress.graph.document import TensorRecord

MAX_HEADER_BYTES = 8 * 2**20
"""20,000 tensors with paths of 300 letters."""


def read(data: bytes, records: Mapping[str, TensorRecord]) -> dict[str, Tensor]:
    """Tensors by name, ties resolved, parameters made parameters.

    Raises:
        ModelFormatError: no safetensors file, a dtype that the format has no word for, names that are not exactly
            those of ``records``, a tie to what is not stored, a record that does not fit its tensor.
    """
    stored = _stored(data)
    wanted = {name for name, record in records.items() if record.tied_to is None}
    if wanted != set(stored):
        odd = ", ".join(name[:80] for name in sorted(wanted ^ set(stored))[:5])
        raise ModelFormatError(f"tensors.safetensors and graph.json name different tensors: {odd}")
    made = {name: _as_recorded(name, stored[name], records[name]) for name in sorted(wanted)}
    for name, record in records.items():
        if record.tied_to is not None:
            made[name] = made[_owner(name, record, records)]
    return made


def _stored(data: bytes) -> dict[str, Tensor]:
    header = int.from_bytes(data[:8], "little")
    if header > MAX_HEADER_BYTES:
        raise ModelFormatError(f"tensors.safetensors has a header of {header} bytes; the limit is {MAX_HEADER_BYTES}")
    if data[8:9] != b"{":
        raise ModelFormatError("tensors.safetensors has no header: its ninth byte is '{'")
    try:
        stored: dict[str, Tensor] = safetensors.torch.load(data)
    except (SafetensorError, KeyError, ValueError, RuntimeError, OverflowError) as e:
        raise ModelFormatError(f"tensors.safetensors cannot be read: {e}") from e
    for name, tensor in stored.items():
        if tensor.dtype not in DTYPES.values():
            raise ModelFormatError(f"tensors.safetensors: '{name[:80]}' is {tensor.dtype}; dtypes are {list(DTYPES)}")
    return stored


def _owner(name: str, record: TensorRecord, records: Mapping[str, TensorRecord]) -> str:
    """The stored tensor that ``name`` is tied to: never another tie, so ties make no chains and no cycles."""
    owner = records.get(record.tied_to or "")
    if record.tied_to is None or owner is None or owner.tied_to is not None:
        raise ModelFormatError(f"tensors.{name}: tied to '{record.tied_to}', which is not stored")
    if (owner.kind, owner.trainable) != (record.kind, record.trainable):
        raise ModelFormatError(f"tensors.{name}: tied to '{record.tied_to}', which is of another kind")
    return record.tied_to


def _as_recorded(name: str, tensor: Tensor, record: TensorRecord) -> Tensor:
    if record.kind == "buffer":
        if record.trainable:
            raise ModelFormatError(f"tensors.{name}: a buffer is not trainable")
        return tensor
    if record.trainable and not tensor.is_floating_point():
        raise ModelFormatError(f"tensors.{name}: {tensor.dtype} cannot be trained")
    return nn.Parameter(tensor, requires_grad=record.trainable)
