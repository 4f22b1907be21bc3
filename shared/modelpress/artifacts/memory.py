"""The store in memory: for tests, scripts and anything that need not outlive its process. Safe between threads."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from modelpress.artifacts.digest import Digest, digest_of, parse_digest
from modelpress.artifacts.names import check_key, check_tag
from modelpress.errors import CorruptBlobError, NotFoundError

if TYPE_CHECKING:
    from modelpress.artifacts.store import Store


class MemoryBlobs:
    """Blobs in a dictionary; ``data`` is open to tests that read or spoil bytes past the port."""

    def __init__(self) -> None:
        self.data: dict[Digest, bytes] = {}

    def put(self, chunks: Iterable[bytes]) -> Digest:
        data = b"".join(chunks)
        digest = digest_of(data)
        if self.size(digest) != len(data):
            self.data[digest] = data
        return digest

    def read(self, digest: Digest) -> bytes:
        data = self.data.get(parse_digest(digest))
        if data is None:
            raise NotFoundError(f"there is no blob {digest} in memory")
        if digest_of(data) != digest:
            del self.data[digest]
            raise CorruptBlobError(digest, "memory")
        return data

    def size(self, digest: Digest) -> int | None:
        data = self.data.get(parse_digest(digest))
        return None if data is None else len(data)

    def discard(self, digest: Digest) -> None:
        self.data.pop(parse_digest(digest), None)

    def matching(self, prefix: str) -> Iterator[Digest]:
        yield from sorted(digest for digest in list(self.data) if digest.startswith(prefix))


class MemoryResults:
    """Results in a dictionary; ``setdefault`` is the conditional create."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    def create(self, key: str, value: bytes) -> bytes:
        return self._values.setdefault(check_key(key), bytes(value))

    def get(self, key: str) -> bytes | None:
        return self._values.get(check_key(key))

    def discard(self, key: str) -> None:
        self._values.pop(check_key(key), None)


class MemoryTags:
    """Tags in a dictionary under a lock."""

    def __init__(self) -> None:
        self._values: dict[str, Digest] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> Digest | None:
        return self._values.get(check_tag(name))

    def swap(self, name: str, expected: Digest | None, new: Digest) -> bool:
        check_tag(name)
        parse_digest(new)
        with self._lock:
            if self._values.get(name) != expected:
                return False
            self._values[name] = new
            return True

    def names(self) -> Iterator[str]:
        yield from sorted(self._values)


class MemorySlots:
    """Slots in a dictionary."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    def load(self, key: str) -> bytes | None:
        return self._values.get(check_key(key))

    def save(self, key: str, data: bytes) -> None:
        self._values[check_key(key)] = bytes(data)

    def discard(self, key: str) -> None:
        self._values.pop(check_key(key), None)


class MemoryStore:
    """The four ports, in memory."""

    def __init__(self) -> None:
        self.blobs = MemoryBlobs()
        self.results = MemoryResults()
        self.tags = MemoryTags()
        self.slots = MemorySlots()


if TYPE_CHECKING:
    _: Store = MemoryStore()
