"""``tensors.safetensors``: the tensors of a model by name."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from modelpress.errors import ModelFormatError
from modelpress.graph.arguments import DTYPES
from modelpress.graph.bounds import MAX_RANK
from modelpress.graph.document import TensorRecord

MAX_HEADER_BYTES = 8 * 2**20
"""20,000 tensors with paths of 300 letters."""


DTYPE_WORDS: Mapping[torch.dtype, str] = {
    torch.bool: "BOOL", torch.uint8: "U8", torch.int8: "I8", torch.int16: "I16", torch.float16: "F16",
    torch.bfloat16: "BF16", torch.int32: "I32", torch.float32: "F32", torch.float64: "F64", torch.int64: "I64",
}  # fmt: skip
"""In the order in which the library lays tensors out: the last come first, so that all are aligned."""


def write(tensors: Mapping[str, Tensor]) -> bytes:
    """The bytes that ``safetensors.torch.save`` gives for contiguous CPU tensors.

    The library copies all weights twice on the way to bytes (0.8: 760 MB more for 400 MB); this copies them once.
    """
    order = list(DTYPE_WORDS)
    names = sorted(tensors, key=lambda name: (-order.index(tensors[name].dtype), name))
    header, end = {}, 0
    for name in names:
        start, end = end, end + tensors[name].nbytes
        header[name] = {
            "dtype": DTYPE_WORDS[tensors[name].dtype],
            "shape": list(tensors[name].shape),
            "data_offsets": [start, end],
        }
    words = json.dumps(header, separators=(",", ":")).encode()
    words += b" " * (-len(words) % 8)
    file = io.BytesIO()
    file.write(len(words).to_bytes(8, "little") + words)
    for name in names:
        file.write(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return file.getvalue()


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
        if tensor.ndim > MAX_RANK:
            raise ModelFormatError(f"tensors.safetensors: '{name[:80]}' has {tensor.ndim} dimensions, over {MAX_RANK}")
        if tensor.dtype == torch.bool and bool((tensor.view(torch.uint8) > 1).any()):
            raise ModelFormatError(f"tensors.safetensors: '{name[:80]}' is BOOL and holds other bytes than 0 and 1")
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
