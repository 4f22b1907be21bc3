"""Streams of bytes whose size does not matter: hashed beside what else is done with them, and verified."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from modelpress.artifacts.digest import Digest

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

CHUNK_BYTES = 1 << 20
"""What is read at once. From here to 8 MiB none is faster; more only takes memory, and pages that must be mapped."""

_WORTH_A_THREAD = 256 << 10


class StreamHasher:
    """The digest of chunks, each hashed while the caller is busy with it.

    A large chunk is hashed on a second thread (hashlib releases the interpreter's lock), a small one at once. One chunk
    is in flight at most, so memory stays flat.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._pool: ThreadPoolExecutor | None = None
        self._pending: Future[None] | None = None

    def update(self, chunk: bytes) -> None:
        """Take ``chunk``, which must not change afterwards; it is hashed when `digest` or the next call returns."""
        self._settle()
        if len(chunk) < _WORTH_A_THREAD:
            self._hash.update(chunk)
        else:
            self._pending = self._thread().submit(self._hash.update, chunk)

    def passing(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """``chunks`` themselves, hashed on the way."""
        for chunk in chunks:
            self.update(chunk)
            yield chunk

    def digest(self) -> Digest:
        self._settle()
        return Digest("sha256:" + self._hash.hexdigest())

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def _settle(self) -> None:
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def _thread(self) -> ThreadPoolExecutor:
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor  # 10 ms that small blobs need not pay

            self._pool = ThreadPoolExecutor(1, "modelpress-hash")
        return self._pool


def digest_of_stream(chunks: Iterable[bytes]) -> Digest:
    with contextlib.closing(StreamHasher()) as hasher:
        for chunk in chunks:
            hasher.update(chunk)
        return hasher.digest()


def verified(chunks: Iterable[bytes], expected: Digest, mismatch: Callable[[], Exception]) -> Iterator[bytes]:
    """``chunks``, the last of which is held back until the whole was found to have the digest ``expected``.

    Raises:
        What ``mismatch`` returns: it has another digest.
    """
    with contextlib.closing(StreamHasher()) as hasher:
        held = b""
        for chunk in hasher.passing(chunks):
            if held:
                yield held
            held = chunk
        if hasher.digest() != expected:
            raise mismatch()
        if held:
            yield held


def chunks_of(file: BinaryIO, size_bytes: int | None = None) -> Iterator[bytes]:
    """The next ``size_bytes`` of ``file`` (default: all that is left), in chunks. What the file lacks is missing."""
    left = size_bytes
    while left != 0:
        chunk = file.read(CHUNK_BYTES if left is None else min(left, CHUNK_BYTES))
        if not chunk:
            return
        left = None if left is None else left - len(chunk)
        yield chunk
