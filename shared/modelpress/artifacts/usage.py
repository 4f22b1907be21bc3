"""What takes a store's space: bytes by kind of artifact and by what keeps them. A blob that many share counts once."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.reach import Reach, stored_outputs, tagged
from modelpress.artifacts.store import Store

OTHER = "other"
"""The kind of a blob that no known artifact holds."""


class Keeper(enum.StrEnum):
    """What keeps a blob; of several that do, the first in this order."""

    TAG = "tag"
    RUN = "run"
    CACHE = "cache"
    """Step results only: garbage collection takes it, and a run that needs it makes it again."""
    NOTHING = "nothing"
    """What is being written, or is left for garbage collection."""


@dataclass(frozen=True)
class Share:
    """Blobs of one kind of artifact with one keeper."""

    kind: str
    keeper: Keeper
    blobs: int
    size_bytes: int


@dataclass(frozen=True)
class Usage:
    """``checkpoint_bytes`` are those of slots; ``leftover_bytes`` those of corrupt blobs and of dead writers."""

    shares: tuple[Share, ...]
    checkpoint_bytes: int
    leftover_bytes: int

    @property
    def total_bytes(self) -> int:
        return sum(share.size_bytes for share in self.shares) + self.checkpoint_bytes + self.leftover_bytes

    def by_kind(self) -> dict[str, int]:
        """Bytes of blobs by kind of artifact."""
        found: Counter[str] = Counter()
        for share in self.shares:
            found[share.kind] += share.size_bytes
        return dict(found)

    def by_keeper(self) -> dict[Keeper, int]:
        """Bytes of blobs by what keeps them."""
        found: Counter[Keeper] = Counter()
        for share in self.shares:
            found[share.keeper] += share.size_bytes
        return dict(found)


def usage(store: Store, run_roots: Iterable[Digest] = ()) -> Usage:
    """Account for every blob; ``run_roots`` are the inputs and outputs of the runs that are known.

    Only manifests are read, and nothing but a corrupt one is changed.
    """
    owners = _owners(store, run_roots)
    blobs: Counter[tuple[str, Keeper]] = Counter()
    sizes: Counter[tuple[str, Keeper]] = Counter()
    for entry in store.upkeep.blobs():
        owner = owners.get(Digest(entry.name), (OTHER, Keeper.NOTHING))
        blobs[owner] += 1
        sizes[owner] += entry.size_bytes
    return Usage(
        shares=tuple(Share(*owner, blobs[owner], sizes[owner]) for owner in sorted(blobs)),
        checkpoint_bytes=sum(entry.size_bytes for entry in store.upkeep.slots()),
        leftover_bytes=store.upkeep.sweep(0.0, dry_run=True),
    )


def _owners(store: Store, run_roots: Iterable[Digest]) -> dict[Digest, tuple[str, Keeper]]:
    """Kind and keeper of every blob that something leads to."""
    reach = Reach(store)
    cached = (digest for outputs in stored_outputs(store).values() for digest in outputs or ())
    owners: dict[Digest, tuple[str, Keeper]] = {}
    for keeper, artifacts in ((Keeper.TAG, tagged(store).values()), (Keeper.RUN, run_roots), (Keeper.CACHE, cached)):
        for artifact in artifacts:
            manifest = reach.manifest(artifact)
            kind = str(manifest.kind) if manifest else OTHER
            for blob in (artifact, *(manifest.blobs() if manifest else ())):
                owners.setdefault(blob, (kind, keeper))
    return owners
