"""Garbage collection: what nothing leads to goes, safely while runs write.

A blob stays when a tag, a root or a kept result leads to it, or when it is young. A write makes young what it names
(`Blobs.put`, `put_artifact`, `broken_blobs` on a cache hit), and youth is looked at again in the moment of removal, so
nothing goes that was written or found since collection began or within the grace before.

Invariant: a result goes before the blobs that it leads to, a manifest before its layers. So whoever is killed halfway
leaves nothing that leads to something missing.
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterable
from dataclasses import dataclass

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.reach import Reach, stored_outputs, tagged
from modelpress.artifacts.store import Entry, Store
from modelpress.errors import StoreError


@dataclass(frozen=True)
class Collected:
    """What went (with ``dry_run``: what would go), and what stays.

    ``young`` counts blobs that stay for their age alone. ``damaged`` are roots whose manifests are missing or corrupt,
    so that nobody knows their layers.
    """

    blobs: tuple[Digest, ...]
    results: tuple[str, ...]
    slots: tuple[str, ...]
    freed_bytes: int
    kept_blobs: int
    kept_bytes: int
    young: int
    damaged: tuple[Digest, ...]
    dry_run: bool


def collect(
    store: Store,
    roots: Iterable[Digest],
    keep_results: Container[str],
    *,
    grace_s: float,
    keep_slots: Container[str] = (),
    dry_run: bool = False,
) -> Collected:
    """Remove what no tag, none of ``roots`` and no result in ``keep_results`` leads to, and that is older than grace.

    ``roots`` are digests of artifacts that must stay: inputs and outputs of the runs and steps that are kept. Blobs
    that they need must be stored, or within their grace, when this is called. ``keep_results`` and ``keep_slots`` are
    step keys. Results whose outputs all stay, stay too; slots that are old go unless they are in ``keep_slots``.
    ``grace_s`` must be longer than a step may take from storing its first output to being in ``roots``.

    Raises:
        StoreError: a tag leads to a manifest that is missing or corrupt, so that its layers are unknown; nothing was
            removed. Or the store cannot be written.
    """
    return _Collection(store, grace_s, dry_run).run(roots, keep_results, keep_slots)


class _Collection:
    """One pass over a store."""

    def __init__(self, store: Store, grace_s: float, dry_run: bool) -> None:
        self._store = store
        self._grace_s = grace_s
        self._dry_run = dry_run
        self._began_s = time.monotonic()
        self._reach = Reach(store)

    def run(self, roots: Iterable[Digest], keep_results: Container[str], keep_slots: Container[str]) -> Collected:
        kept = self._kept(roots)
        damaged = tuple(sorted(self._reach.damaged))
        results = stored_outputs(self._store)
        # Listed after the results: every blob that they name was there before.
        blobs = {Digest(entry.name): entry for entry in self._store.upkeep.blobs()}
        for key, outputs in results.items():
            if key in keep_results or self._is_fresh(outputs, blobs):
                kept |= self._reach.blobs(outputs or ())
        doomed = {k: o for k, o in results.items() if k not in keep_results and not self._stays(o, kept, blobs)}
        for key in doomed:
            self._discard_result(key)
        gone = self._remove_blobs(blobs, kept, [digest for outputs in doomed.values() for digest in outputs or ()])
        slots = self._remove_slots(keep_slots)
        leftover_bytes = self._store.upkeep.sweep(self._grace_s, dry_run=self._dry_run)
        left = {digest: entry for digest, entry in blobs.items() if digest not in gone}
        return Collected(
            blobs=tuple(gone),
            results=tuple(doomed),
            slots=tuple(entry.name for entry in slots),
            freed_bytes=sum(entry.size_bytes for entry in (*gone.values(), *slots)) + leftover_bytes,
            kept_blobs=len(left),
            kept_bytes=sum(entry.size_bytes for entry in left.values()),
            young=sum(digest not in kept for digest in left),
            damaged=damaged,
            dry_run=self._dry_run,
        )

    def _kept(self, roots: Iterable[Digest]) -> set[Digest]:
        tags = tagged(self._store)
        kept = self._reach.blobs(tags.values())
        for name, digest in tags.items():
            if digest in self._reach.damaged:
                raise StoreError(
                    f"the tag '{name}' leads to {digest}, which is missing or corrupt, so that nobody knows what else "
                    "it needs: push it again or remove the tag, and collect then; nothing was removed"
                )
        return kept | self._reach.blobs(roots)

    def _is_fresh(self, outputs: tuple[Digest, ...] | None, blobs: dict[Digest, Entry]) -> bool:
        """Whether a result was made or found within the grace: then a run may be about to name its outputs."""
        return any(digest in blobs and blobs[digest].age_s <= self._grace_s for digest in outputs or ())

    def _stays(self, outputs: tuple[Digest, ...] | None, kept: set[Digest], blobs: dict[Digest, Entry]) -> bool:
        """Whether a result can be read, and all that it leads to is there and stays."""
        if outputs is None:
            return False
        needed = self._reach.blobs(outputs)
        return needed <= kept and needed <= blobs.keys()

    def _discard_result(self, key: str) -> None:
        if not self._dry_run:
            self._store.results.discard(key)

    def _remove_blobs(
        self, blobs: dict[Digest, Entry], kept: set[Digest], manifests: list[Digest]
    ) -> dict[Digest, Entry]:
        """Remove what is not kept, ``manifests`` first; a manifest that became young keeps its layers."""
        spared = set(kept)
        gone: dict[Digest, Entry] = {}
        for digest in dict.fromkeys([*manifests, *blobs]):
            if digest in spared or digest not in blobs:
                continue
            if self._remove_blob(blobs[digest]):
                gone[digest] = blobs[digest]
            else:
                spared |= self._reach.blobs([digest])
        return gone

    def _remove_blob(self, entry: Entry) -> bool:
        if self._dry_run:
            return entry.age_s > self._grace_s
        return self._store.upkeep.remove_blob(Digest(entry.name), self._old_s())

    def _remove_slots(self, keep: Container[str]) -> list[Entry]:
        old = [e for e in self._store.upkeep.slots() if e.name not in keep and e.age_s > self._grace_s]
        if self._dry_run:
            return old
        return [entry for entry in old if self._store.upkeep.remove_slot(entry.name, self._old_s())]

    def _old_s(self) -> float:
        """The age from which on something is old now: what was touched since this pass began never is."""
        return self._grace_s + time.monotonic() - self._began_s
