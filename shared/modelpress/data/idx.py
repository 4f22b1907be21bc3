"""IDX files, the format of the MNIST family: a magic number, big-endian sizes, then the values.

Format: http://yann.lecun.com/exdb/mnist/ (the third byte is the type, the fourth the number of dimensions).
"""

from __future__ import annotations

import gzip
import io
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelpress.errors import DataError, NotFoundError

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_DIMENSIONS = 4
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK_BYTES = 1 << 20


def read_idx(path: Path) -> NDArray[Any]:
    """The array in an IDX file, plain or gzipped (told by its first bytes), in native byte order.

    Raises:
        NotFoundError: there is no such file.
        DataError: it is no IDX file, or holds fewer or more bytes than its header says; names file and bytes.
    """
    try:
        with open(path, "rb") as plain:
            zipped = plain.read(2) == _GZIP_MAGIC
            plain.seek(0)
            return _read(gzip.GzipFile(fileobj=plain) if zipped else plain, path)
    except FileNotFoundError as e:
        raise NotFoundError(f"there is no file {path}") from e
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise DataError(f"{path} is truncated or corrupt: it does not decompress ({e})") from e


def _read(file: io.BufferedIOBase, path: Path) -> NDArray[Any]:
    magic = _read_at_most(file, 4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES or not 1 <= magic[3] <= _MAX_DIMENSIONS:
        raise DataError(
            f"{path} is no IDX file: it begins with {magic.hex(' ') or 'nothing'}, expected 00 00, "
            f"a type ({', '.join(f'{code:02x}' for code in _DTYPES)}) and 01 to 0{_MAX_DIMENSIONS} dimensions"
        )
    dtype = np.dtype(_DTYPES[magic[2]])
    header = _read_at_most(file, 4 * magic[3])
    if len(header) < 4 * magic[3]:
        raise DataError(f"{path} is truncated: its header ends after {4 + len(header)} of {4 + 4 * magic[3]} bytes")
    shape = struct.unpack(f">{magic[3]}I", header)
    expected = math.prod(shape) * dtype.itemsize
    values = _read_at_most(file, expected + 1)
    if len(values) != expected:
        found = f"only {len(values)}" if len(values) < expected else "more"
        raise DataError(f"{path} should hold {expected} bytes of values for its shape {list(shape)}, but holds {found}")
    return np.frombuffer(values, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _read_at_most(file: io.BufferedIOBase, count: int) -> bytes:
    """Up to ``count`` bytes, never more memory than there are bytes: a header may claim any size."""
    parts: list[bytes] = []
    while count > 0 and (part := file.read(min(count, _CHUNK_BYTES))):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
