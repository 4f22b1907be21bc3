"""Ports of the artifact store. DESIGN: content addressed, two conditional writes, nothing half written.

Every adapter passes `modelpress.testing.store.StoreContract`. All names lie under the store's tenant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from modelpress.artifacts.digest import Digest


class Entry(NamedTuple):
    """One thing in a listing. ``age_s`` counts from when it was last written or refreshed, and is never negative."""

    name: str
    size_bytes: int
    age_s: float


class Blobs(Protocol):
    """Immutable bytes by their digest."""

    def put(self, chunks: Iterable[bytes]) -> Digest:
        """Store the concatenated ``chunks``, of any size in flat memory; all or nothing, no rewrite of what is there.

        What was there is refreshed: it is as young as if it were written now, so that garbage collection leaves it.

        Raises:
            StoreFullError: no space is left; nothing half written remains.
            StoreError: the store cannot be written.
        """

    def open(self, digest: Digest) -> Iterator[bytes]:
        """The bytes of ``digest`` in chunks, of any size in flat memory, verified while they pass.

        The last chunk comes only when the whole was found right. So who has seen the end has the right bytes, and who
        has not must throw away what came.

        Raises (while it is iterated):
            NotFoundError: there is no such blob.
            CorruptBlobError: as `read`.
        """

    def read(self, digest: Digest) -> bytes:
        """The bytes of ``digest``, verified.

        Raises:
            NotFoundError: there is no such blob.
            CorruptBlobError: the bytes have another digest; names it. From then on the blob counts as missing.
        """

    def size(self, digest: Digest) -> int | None:
        """Size in bytes without reading, None when absent."""

    def discard(self, digest: Digest) -> None:
        """Remove a blob that was found corrupt, so that it can be made again; absent is fine."""

    def matching(self, prefix: str) -> Iterator[Digest]:
        """Digests that begin with ``prefix`` (``sha256:`` and more), in order."""


class Results(Protocol):
    """Step results by step key (64 hex characters). The conditional create decides which attempt is accepted."""

    def create(self, key: str, value: bytes) -> bytes:
        """Create; return the accepted value: ``value``, or what was there first."""

    def get(self, key: str) -> bytes | None: ...

    def discard(self, key: str) -> None:
        """Forget a result whose blobs are gone or corrupt, so that the step can be made again."""

    def keys(self) -> Iterator[str]:
        """Every key that has a result, in order."""


class Tags(Protocol):
    """Mutable names such as ``fashion/resnet``, each pointing to a manifest's digest."""

    def get(self, name: str) -> Digest | None: ...

    def swap(self, name: str, expected: Digest | None, new: Digest) -> bool:
        """Compare and swap; ``expected=None`` means: only if the tag does not exist. False when it lost."""

    def remove(self, name: str, expected: Digest) -> bool:
        """Remove the tag if it points to ``expected``; False when it does not, or is not there."""

    def names(self) -> Iterator[str]:
        """Every tag, in order."""


class Slots(Protocol):
    """Overwritable bytes of unfinished work (training checkpoints), by step key."""

    def load(self, key: str) -> bytes | None: ...

    def save(self, key: str, data: bytes) -> None: ...

    def discard(self, key: str) -> None: ...

    def keys(self) -> Iterator[str]:
        """Every key that has a slot, in order."""


class Upkeep(Protocol):
    """What garbage collection and accounts of space need of a store.

    Invariant: what was put, saved or refreshed less than ``older_than_s`` ago is not removed, however the calls of many
    processes fall together. A step of the wall clock back makes things younger, never older.
    """

    def refresh(self, digest: Digest) -> int | None:
        """Make a blob as young as if it were put now; its size in bytes, None when it is absent.

        Raises:
            StoreError: the store cannot be written.
        """

    def blobs(self) -> Iterator[Entry]:
        """Every blob."""

    def slots(self) -> Iterator[Entry]:
        """Every slot."""

    def remove_blob(self, digest: Digest, older_than_s: float) -> bool:
        """Remove a blob if it is older than that; False when it is younger or absent."""

    def remove_slot(self, key: str, older_than_s: float) -> bool:
        """Remove a slot if it is older than that; False when it is younger or absent."""

    def sweep(self, older_than_s: float, *, dry_run: bool = False) -> int:
        """Remove what no reader can see (blobs set aside as corrupt, what dead writers left); the bytes it frees."""


class Store(Protocol):
    """All of them, of one tenant."""

    @property
    def blobs(self) -> Blobs: ...
    @property
    def results(self) -> Results: ...
    @property
    def tags(self) -> Tags: ...
    @property
    def slots(self) -> Slots: ...
    @property
    def upkeep(self) -> Upkeep: ...
