"""The least of tar that an archive of ours needs: plain files, one after the other, equal for equal contents.

Reading takes plain files only and knows nothing else: no links, folders, sparse files, extended headers or long names,
whatever a file claims. So no member can be larger than the archive that holds it.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

from modelpress.errors import InputError

_BLOCK_BYTES = 512
_END = bytes(2 * _BLOCK_BYTES)


class Member(NamedTuple):
    """A file of an archive, whose bytes begin at ``start``."""

    name: str
    size_bytes: int
    start: int


def write_member(file: BinaryIO, name: str, size_bytes: int, chunks: Iterable[bytes]) -> None:
    """Append a file: no time, owner or mode of its own.

    Raises:
        ValueError: ``name`` is too long, or ``chunks`` have not ``size_bytes`` bytes.
    """
    info = tarfile.TarInfo(name)
    info.size = size_bytes
    header = info.tobuf(tarfile.GNU_FORMAT, "ascii", "strict")
    if len(header) != _BLOCK_BYTES:
        raise ValueError(f"the name '{name}' is too long for a tar header")
    file.write(header)
    written = 0
    for chunk in chunks:
        file.write(chunk)
        written += len(chunk)
    if written != size_bytes:
        raise ValueError(f"'{name}' has {written} bytes, not {size_bytes}")
    file.write(bytes(-size_bytes % _BLOCK_BYTES))


def write_end(file: BinaryIO) -> None:
    file.write(_END)


def members(file: BinaryIO) -> Iterator[Member]:
    """The files of an archive, in order; ``file`` can be moved between them.

    Raises:
        InputError: it is no tar file, is cut short, or holds something that is no plain file.
    """
    archive_bytes = file.seek(0, 2)
    at = 0
    while True:
        file.seek(at)
        block = file.read(_BLOCK_BYTES)
        if block == _END[:_BLOCK_BYTES]:
            return
        info = _header(block, at)
        start = at + _BLOCK_BYTES
        if not 0 <= info.size <= archive_bytes - start:
            raise InputError(
                f"'{info.name}' is said to have {info.size} bytes, more than the archive: it was cut short"
            )
        yield Member(info.name, info.size, start)
        at = start + info.size + -info.size % _BLOCK_BYTES


def _header(block: bytes, at: int) -> tarfile.TarInfo:
    try:
        info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    except (tarfile.HeaderError, ValueError) as e:
        raise InputError(
            f"at byte {at} is no header of a tar file ({e}): it is none, or was damaged or cut short"
        ) from e
    if info.type != tarfile.REGTYPE:
        raise InputError(f"'{info.name}' is no plain file: archives of runs hold nothing else")
    return info
