"""The container of a ``torch.export.save`` archive: a zip of JSON and raw tensor bytes, read without unpickling.

torch writes entries uncompressed, so nothing in an archive may be larger than the archive itself: compressed entries
are refused, and with them every zip bomb. ``data/sample_inputs`` is a pickle; it is never read.
"""

from __future__ import annotations

import io
import math
import re
import struct
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from modelpress.errors import ModelFormatError, NotFoundError
from modelpress.graph.limited_json import read_json

MAX_ENTRIES = 100_000
MAX_JSON_BYTES = 64 * 2**20
MAX_JSON_DEPTH = 64
MAX_SIZE = 2**31 - 1
MAX_RANK = 16
SLACK_BYTES = 2**20
"""Tensors together may be this much larger than the archive: expanded constants (stride 0) are stored once."""

DTYPES: Mapping[int, torch.dtype] = {
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16,
    7: torch.float32, 8: torch.float64, 12: torch.bool, 13: torch.bfloat16,
}  # fmt: skip
"""Those of ``torch._export.serde.schema.ScalarType`` that the format holds."""
STRIDED = 7
SAVE_AGAIN = "save it again with torch.export.save of a present torch, in an environment that may unpickle it"

_SEGMENT = re.compile(r"[A-Za-z0-9_.\-]{1,200}")
_END_OF_DIRECTORY = b"PK\x05\x06"
_CHUNK = 2**22


class Record(BaseModel):
    """Part of what torch serialises; newer versions may add fields."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


R = TypeVar("R", bound=Record)


class TensorMeta(Record):
    dtype: int
    sizes: list[dict[str, Any]] = Field(max_length=MAX_RANK)
    requires_grad: bool
    strides: list[dict[str, Any]] = Field(max_length=MAX_RANK)
    storage_offset: dict[str, Any]
    layout: int


class PayloadMeta(Record):
    path_name: str
    is_param: bool
    use_pickle: bool
    tensor_meta: TensorMeta | None


class PayloadConfig(Record):
    config: dict[str, PayloadMeta]


class Archive:
    """Checked entries of an archive, by their names under its one folder.

    Raises:
        ModelFormatError: no zip, a zip of something else, or one that its layout forbids; says which and what to do.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.size_bytes = file.seek(0, 2)
        _check_ends(file, self.size_bytes)
        try:
            self._zip = zipfile.ZipFile(file)
        except _ZIP_ERRORS as e:
            raise ModelFormatError(f"the file is no zip archive that can be read: {e}") from e
        self._entries = _checked_entries(self._zip.infolist(), self.size_bytes)
        self.model_name = _checked_kind(self)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def names(self, prefix: str = "") -> list[str]:
        return [name for name in self._entries if name.startswith(prefix)]

    def size(self, name: str) -> int:
        return self._entries[name].file_size

    def read(self, name: str) -> bytearray:
        """The bytes of an entry; its checksum is verified."""
        if name not in self._entries:
            raise ModelFormatError(f"the archive has no entry '{name}'")
        buffer = bytearray(self.size(name))
        try:
            with self._zip.open(self._entries[name]) as stream:
                done = 0
                while done < len(buffer):
                    part = stream.read(_CHUNK)
                    if not part:
                        raise ModelFormatError(f"the entry '{name}' ends after {done} of {len(buffer)} bytes")
                    buffer[done : done + len(part)] = part
                    done += len(part)
        except _ZIP_ERRORS as e:
            raise ModelFormatError(f"the entry '{name}' cannot be read: {e}") from e
        return buffer

    def json(self, name: str) -> Any:
        return read_json(bytes(self.read(name)), name, max_bytes=MAX_JSON_BYTES, max_depth=MAX_JSON_DEPTH)

    def tensors(self) -> dict[str, Tensor]:
        """Weights and constants by the path in the user's module; ties are one tensor, each has memory of its own."""
        made: dict[str, Tensor] = {}
        budget = _Budget(self.size_bytes + SLACK_BYTES)
        for part in ("weights", "constants"):
            config_name = f"data/{part}/{self.model_name}_{part}_config.json"
            if config_name not in self and f"data/{part}/{self.model_name}.pt" in self:
                raise ModelFormatError(f"the archive's {part} are a pickle, as an older torch wrote them; {SAVE_AGAIN}")
            config = validated(PayloadConfig, self.json(config_name), config_name)
            for name, tensor in _payloads(self, f"data/{part}/", config.config, budget).items():
                if name in made:
                    raise ModelFormatError(f"'{name}' is both a weight and a constant")
                made[name] = tensor
        return made


@contextmanager
def opened(source: str | Path | bytes) -> Iterator[Archive]:
    """The archive in a file or in bytes.

    Raises:
        NotFoundError: there is no such file.
        ModelFormatError: as `Archive`.
    """
    if isinstance(source, bytes):
        yield Archive(io.BytesIO(source))
        return
    path = Path(source)
    if not path.is_file():
        raise NotFoundError(f"there is no file '{path}'")
    with path.open("rb") as file:
        yield Archive(file)


def validated(kind: type[R], value: Any, where: str) -> R:
    """``value`` as a record.

    Raises:
        ModelFormatError: it is none; names the field.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as e:
        fault = e.errors()[0]
        place = ".".join(str(x)[:80] for x in fault["loc"][:12])
        raise ModelFormatError(f"{where}: {place}: {fault['msg']}") from e


def natural(value: Mapping[str, Any], where: str) -> int:
    """The natural number of ``{"as_int": n}``.

    Raises:
        ModelFormatError: anything else, a symbolic size too.
    """
    n = value.get("as_int")
    if len(value) != 1 or not isinstance(n, int) or isinstance(n, bool) or not 0 <= n < 2**63:
        raise ModelFormatError(f"{where}: {str(value)[:80]} is no size; stored tensors have natural numbers")
    return n


# --- entries

_ZIP_ERRORS = (zipfile.BadZipFile, NotImplementedError, struct.error, UnicodeError, ValueError, OverflowError, EOFError,
               RuntimeError, OSError)  # fmt: skip


def _check_ends(file: IO[bytes], size: int) -> None:
    """A zip begins with an entry and ends with its directory: no leading or trailing bytes, no comment."""
    file.seek(0)
    head = file.read(4)
    if head[:1] == b"\x80":
        raise ModelFormatError(f"the file is a pickle, not a .pt2 archive; {SAVE_AGAIN}")
    if head != b"PK\x03\x04":
        raise ModelFormatError("the file is no .pt2 archive: it does not begin as a zip does")
    file.seek(max(0, size - 22))
    tail = file.read(22)
    if tail[:4] != _END_OF_DIRECTORY or tail[20:] != b"\0\0":
        raise ModelFormatError("the file is truncated or has bytes after the archive's end")


def _checked_entries(infos: list[zipfile.ZipInfo], size: int) -> dict[str, zipfile.ZipInfo]:
    if len(infos) > MAX_ENTRIES:
        raise ModelFormatError(f"the archive has {len(infos)} entries; the limit is {MAX_ENTRIES}")
    folder = infos[0].filename.partition("/")[0] if infos else ""
    found: dict[str, zipfile.ZipInfo] = {}
    end = 0
    for info in sorted(infos, key=lambda i: i.header_offset):
        shown = repr(info.filename[:120])
        _check_entry(info, folder, shown)
        if info.header_offset < end:
            raise ModelFormatError(f"the entry {shown} overlaps another one")
        end = info.header_offset + 30 + len(info.filename) + info.file_size
        name = info.filename.partition("/")[2]
        if name in found:
            raise ModelFormatError(f"the archive has two entries {shown}")
        found[name] = info
    if end > size:
        raise ModelFormatError("the archive's entries are larger than the file")
    return found


def _check_entry(info: zipfile.ZipInfo, folder: str, shown: str) -> None:
    parts = info.filename.split("/")
    plain = all(_SEGMENT.fullmatch(p) and p not in (".", "..") for p in parts)
    if not plain or len(parts) < 2 or parts[0] != folder:
        raise ModelFormatError(f"the entry {shown} has no name of the layout: one folder, plain segments")
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.flag_bits & 1:
        raise ModelFormatError(f"the entry {shown} is compressed or encrypted; torch stores entries as they are")


def _checked_kind(archive: Archive) -> str:
    """The one model's name, where the archive is of the layout that holds no pickle but the sample inputs."""
    if "data.pkl" in archive or "serialized_state_dict.pt" in archive or "serialized_exported_program.json" in archive:
        raise ModelFormatError(f"the file is a pickled module or an archive of an older layout; {SAVE_AGAIN}")
    models = archive.names("models/")
    if not models and archive.names("data/aotinductor/"):
        raise ModelFormatError("the archive holds compiled code (AOTInductor), no graph; push torch.export.save's file")
    for name, wanted in (("archive_format", b"pt2"), ("archive_version", b"0"), ("byteorder", b"little")):
        found = bytes(archive.read(name)[:40]) if name in archive else b""
        if found != wanted:
            raise ModelFormatError(f"the archive's {name} is {found!r}; this modelpress reads {wanted!r}")
    if sys.byteorder != "little":
        raise ModelFormatError("archives are little-endian; this machine is not")
    if len(models) != 1 or not models[0].endswith(".json"):
        raise ModelFormatError(f"the archive has the models {models[:5]}; one is read, models/NAME.json")
    return models[0].removeprefix("models/").removesuffix(".json")


# --- tensors


class _Budget:
    """Bytes that tensors may still take."""

    def __init__(self, left_bytes: int) -> None:
        self.left_bytes = left_bytes

    def spend(self, size_bytes: int, where: str) -> None:
        self.left_bytes -= size_bytes
        if self.left_bytes < 0:
            raise ModelFormatError(f"{where}: the tensors are larger than the archive")


def _payloads(archive: Archive, folder: str, config: Mapping[str, PayloadMeta], budget: _Budget) -> dict[str, Tensor]:
    """Tensors by name; equal views of one storage are one tensor, and storages are let go one by one."""
    by_path: dict[str, list[str]] = {}
    for name, meta in config.items():
        _check_payload(name, meta, folder)
        by_path.setdefault(meta.path_name, []).append(name)
    made: dict[str, Tensor] = {}
    for path, sharing in by_path.items():
        storage = archive.read(folder + path)
        views: dict[Any, Tensor] = {}
        for name in sharing:
            meta = config[name]
            key = repr((meta.tensor_meta, meta.is_param))
            if key not in views:
                views[key] = _tensor(meta, storage, folder + name, budget)
            made[name] = views[key]
    return {name: made[name] for name in config}


def _check_payload(name: str, meta: PayloadMeta, folder: str) -> None:
    if meta.use_pickle or meta.tensor_meta is None:
        raise ModelFormatError(f"'{name[:120]}' is stored as a pickle (a tensor subclass or an object of a class)")
    if not _SEGMENT.fullmatch(meta.path_name):
        raise ModelFormatError(f"'{name[:120]}' lies in {meta.path_name[:120]!r}, which is no entry of {folder}")


def _tensor(meta: PayloadMeta, storage: bytearray, where: str, budget: _Budget) -> Tensor:
    """The view that ``meta`` describes, in memory of its own.

    Raises:
        ModelFormatError: it leaves its storage, or its dtype or layout is none of the format's.
    """
    assert meta.tensor_meta is not None
    about = meta.tensor_meta
    dtype = DTYPES.get(about.dtype)
    if dtype is None or about.layout != STRIDED:
        raise ModelFormatError(f"{where}: dtype {about.dtype} in layout {about.layout} has no place in the format")
    sizes = [natural(n, where) for n in about.sizes]
    strides = [natural(n, where) for n in about.strides]
    offset = natural(about.storage_offset, where)
    if len(sizes) != len(strides) or max(sizes, default=0) > MAX_SIZE:
        raise ModelFormatError(f"{where}: sizes {sizes} at strides {strides} are no tensor's")
    empty = 0 in sizes
    if empty and math.prod(n for n in sizes if n) > MAX_SIZE:
        raise ModelFormatError(f"{where}: sizes {sizes} of no elements")
    last = offset + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True))
    if not empty and (last + 1) * dtype.itemsize > len(storage):
        raise ModelFormatError(f"{where}: sizes {sizes} at strides {strides} leave the {len(storage)} bytes stored")
    budget.spend(math.prod(sizes) * dtype.itemsize, where)
    return _as_kept(_view(storage, dtype, sizes, strides, offset, empty), meta, where)


def _view(
    storage: bytearray, dtype: torch.dtype, sizes: list[int], strides: list[int], offset: int, empty: bool
) -> Tensor:
    if empty:
        return torch.empty(sizes, dtype=dtype)
    count = len(storage) // dtype.itemsize
    if dtype is torch.bool:  # torch takes any byte for a bool and computes nonsense with those beyond one
        flat = torch.frombuffer(storage, dtype=torch.uint8, count=count) != 0
    else:
        flat = torch.frombuffer(storage, dtype=dtype, count=count)
    # A copy: whoever trains one view of a storage must not change another, and bytes of other dtypes stay as they are.
    return flat.as_strided(sizes, strides, offset).clone(memory_format=torch.contiguous_format)


def _as_kept(tensor: Tensor, meta: PayloadMeta, where: str) -> Tensor:
    assert meta.tensor_meta is not None
    if not meta.is_param:
        return tensor
    if meta.tensor_meta.requires_grad and not tensor.is_floating_point():
        raise ModelFormatError(f"{where}: {tensor.dtype} cannot be trained")
    return nn.Parameter(tensor, requires_grad=meta.tensor_meta.requires_grad)
