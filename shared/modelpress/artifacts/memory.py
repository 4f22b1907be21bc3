"""The store in memory: for tests, scripts and anything that need not outlive its process. Safe between threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from modelpress.artifacts.digest import Digest, digest_of, parse_digest
from modelpress.artifacts.names import check_key, check_tag
from modelpress.artifacts.store import Entry
from modelpress.artifacts.streams import CHUNK_BYTES
from modelpress.errors import CorruptBlobError, NotFoundError

if TYPE_CHECKING:
    from modelpress.artifacts.store import Store


class Ages:
    """When things were written or refreshed, by the monotonic clock; ``lock`` is held while that decides."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.since_s: dict[str, float] = {}

    def renew(self, name: str) -> None:
        self.since_s[name] = time.monotonic()

    def age_s(self, name: str) -> float:
        now_s = time.monotonic()
        return max(0.0, now_s - self.since_s.get(name, now_s))


class MemoryBlobs:
    """Blobs in a dictionary; ``data`` is open to tests that read or spoil bytes past the port."""

    def __init__(self) -> None:
        self.data: dict[Digest, bytes] = {}
        self.ages = Ages()

    def put(self, chunks: Iterable[bytes]) -> Digest:
        data = b"".join(chunks)
        digest = digest_of(data)
        with self.ages.lock:
            if self.size(digest) != len(data):
                self.data[digest] = data
            self.ages.renew(digest)
        return digest

    def open(self, digest: Digest) -> Iterator[bytes]:
        data = self.read(digest)
        yield from (data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES))

    def read(self, digest: Digest) -> bytes:
        data = self.data.get(parse_digest(digest))
        if data is None:
            raise NotFoundError(f"there is no blob {digest} in memory")
        if digest_of(data) != digest:
            self.data.pop(digest, None)
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

    def keys(self) -> Iterator[str]:
        yield from sorted(self._values)


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

    def remove(self, name: str, expected: Digest) -> bool:
        check_tag(name)
        parse_digest(expected)
        with self._lock:
            if self._values.get(name) != expected:
                return False
            del self._values[name]
            return True

    def names(self) -> Iterator[str]:
        yield from sorted(self._values)


class MemorySlots:
    """Slots in a dictionary."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.ages = Ages()

    def load(self, key: str) -> bytes | None:
        return self.data.get(check_key(key))

    def save(self, key: str, data: bytes) -> None:
        with self.ages.lock:
            self.data[check_key(key)] = bytes(data)
            self.ages.renew(key)

    def discard(self, key: str) -> None:
        self.data.pop(check_key(key), None)

    def keys(self) -> Iterator[str]:
        yield from sorted(self.data)


class MemoryUpkeep:
    """Ages go by the monotonic clock, which nobody puts back. Nothing is left over that readers cannot see."""

    def __init__(self, blobs: MemoryBlobs, slots: MemorySlots) -> None:
        self._blobs = blobs
        self._slots = slots

    def refresh(self, digest: Digest) -> int | None:
        with self._blobs.ages.lock:
            size_bytes = self._blobs.size(digest)
            if size_bytes is not None:
                self._blobs.ages.renew(digest)
            return size_bytes

    def blobs(self) -> Iterator[Entry]:
        ages = self._blobs.ages
        yield from (Entry(digest, len(data), ages.age_s(digest)) for digest, data in list(self._blobs.data.items()))

    def slots(self) -> Iterator[Entry]:
        ages = self._slots.ages
        yield from (Entry(key, len(data), ages.age_s(key)) for key, data in list(self._slots.data.items()))

    def remove_blob(self, digest: Digest, older_than_s: float) -> bool:
        with self._blobs.ages.lock:
            old = self._blobs.ages.age_s(parse_digest(digest)) > older_than_s
            return old and self._blobs.data.pop(digest, None) is not None

    def remove_slot(self, key: str, older_than_s: float) -> bool:
        with self._slots.ages.lock:
            old = self._slots.ages.age_s(check_key(key)) > older_than_s
            return old and self._slots.data.pop(key, None) is not None

    def sweep(self, older_than_s: float, *, dry_run: bool = False) -> int:
        return 0


class MemoryStore:
    """The ports, in memory."""

    def __init__(self) -> None:
        self.blobs = MemoryBlobs()
        self.results = MemoryResults()
        self.tags = MemoryTags()
        self.slots = MemorySlots()
        self.upkeep = MemoryUpkeep(self.blobs, self.slots)


if TYPE_CHECKING:
    _: Store = MemoryStore()
