"""Ports of the artifact store. DESIGN: content addressed, two conditional writes, nothing half written.

Every adapter passes `modelpress.testing.store.StoreContract`. All names lie under the store's tenant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from modelpress.artifacts.digest import Digest


class Blobs(Protocol):
    """Immutable bytes by their digest."""

    def put(self, chunks: Iterable[bytes]) -> Digest:
        """Store the concatenated ``chunks``; all or nothing, and no rewrite of what is there.

        Raises:
            StoreFullError: no space is left; nothing half written remains.
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


class Tags(Protocol):
    """Mutable names such as ``fashion/resnet``, each pointing to a manifest's digest."""

    def get(self, name: str) -> Digest | None: ...

    def swap(self, name: str, expected: Digest | None, new: Digest) -> bool:
        """Compare and swap; ``expected=None`` means: only if the tag does not exist. False when it lost."""

    def names(self) -> Iterator[str]: ...


class Slots(Protocol):
    """Overwritable bytes of unfinished work (training checkpoints), by step key."""

    def load(self, key: str) -> bytes | None: ...

    def save(self, key: str, data: bytes) -> None: ...

    def discard(self, key: str) -> None: ...


class Store(Protocol):
    """The four of them, of one tenant."""

    @property
    def blobs(self) -> Blobs: ...
    @property
    def results(self) -> Results: ...
    @property
    def tags(self) -> Tags: ...
    @property
    def slots(self) -> Slots: ...
