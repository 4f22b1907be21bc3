"""The part of the store's suite that is about ages and removal. Subclass `modelpress.testing.store.StoreContract`."""

from __future__ import annotations

import pytest

from modelpress.artifacts.digest import Digest, digest_of
from modelpress.artifacts.store import Store
from modelpress.errors import InputError

KEY = "ab" * 32
OTHER_KEY = "cd" * 32
HOUR_S = 3600.0


class UpkeepContract:
    """What `Upkeep` promises, within one process."""

    def backdate(self, store: Store, name: str, by_s: float) -> None:
        """Make a blob (its digest) or a slot (its key) older, past the port; into the future if negative."""
        raise NotImplementedError

    def test_blobs_are_listed_with_size_and_age(self, store: Store) -> None:
        digests = [store.blobs.put([b"o" * size]) for size in (1, 20, 300)]
        self.backdate(store, digests[1], HOUR_S)
        listed = {entry.name: entry for entry in store.upkeep.blobs()}
        assert [listed[digest].size_bytes for digest in digests] == [1, 20, 300]
        assert [listed[digest].age_s >= HOUR_S for digest in digests] == [False, True, False]
        assert len(listed) == 3

    def test_slots_are_listed_with_size_and_age(self, store: Store) -> None:
        store.slots.save(KEY, b"half")
        store.slots.save(OTHER_KEY, b"")
        self.backdate(store, KEY, HOUR_S)
        listed = {entry.name: (entry.size_bytes, entry.age_s >= HOUR_S) for entry in store.upkeep.slots()}
        assert listed == {KEY: (4, True), OTHER_KEY: (0, False)}

    def test_what_is_young_is_not_removed(self, store: Store) -> None:
        digest = store.blobs.put([b"data"])
        store.slots.save(KEY, b"half")
        assert not store.upkeep.remove_blob(digest, HOUR_S)
        assert not store.upkeep.remove_slot(KEY, HOUR_S)
        assert store.blobs.read(digest) == b"data"
        assert store.slots.load(KEY) == b"half"

    def test_what_is_old_is_removed_once(self, store: Store) -> None:
        digest = store.blobs.put([b"data"])
        store.slots.save(KEY, b"half")
        for name in (digest, KEY):
            self.backdate(store, name, 2 * HOUR_S)
        assert [store.upkeep.remove_blob(digest, HOUR_S) for _ in range(2)] == [True, False]
        assert [store.upkeep.remove_slot(KEY, HOUR_S) for _ in range(2)] == [True, False]
        assert store.blobs.size(digest) is None
        assert store.slots.load(KEY) is None
        assert store.blobs.read(store.blobs.put([b"data"])) == b"data"

    def test_what_is_put_or_saved_again_is_young(self, store: Store) -> None:
        digest = store.blobs.put([b"data"])
        store.slots.save(KEY, b"half")
        for name in (digest, KEY):
            self.backdate(store, name, 2 * HOUR_S)
        store.blobs.put([b"data"])
        store.slots.save(KEY, b"half")
        assert not store.upkeep.remove_blob(digest, HOUR_S)
        assert not store.upkeep.remove_slot(KEY, HOUR_S)

    def test_what_is_refreshed_is_young(self, store: Store) -> None:
        digest = store.blobs.put([b"data"])
        self.backdate(store, digest, 2 * HOUR_S)
        assert store.upkeep.refresh(digest) == 4
        assert not store.upkeep.remove_blob(digest, HOUR_S)
        assert store.blobs.read(digest) == b"data"

    def test_what_is_absent_is_not_refreshed(self, store: Store) -> None:
        assert store.upkeep.refresh(digest_of(b"absent")) is None
        assert store.blobs.size(digest_of(b"absent")) is None
        assert list(store.upkeep.blobs()) == []

    def test_what_comes_from_the_future_is_young(self, store: Store) -> None:
        digest = store.blobs.put([b"data"])
        self.backdate(store, digest, -HOUR_S)
        assert [entry.age_s for entry in store.upkeep.blobs()] == [0.0]
        assert not store.upkeep.remove_blob(digest, 0.0)

    def test_a_blob_that_is_read_does_not_become_younger(self, store: Store) -> None:
        digest = store.blobs.put([b"data"])
        self.backdate(store, digest, 2 * HOUR_S)
        store.blobs.read(digest)
        list(store.blobs.open(digest))
        store.blobs.size(digest)
        assert store.upkeep.remove_blob(digest, HOUR_S)

    def test_sweeping_leaves_what_can_be_seen(self, store: Store) -> None:
        digest = store.blobs.put([b"data"])
        store.slots.save(KEY, b"half")
        for name in (digest, KEY):
            self.backdate(store, name, 2 * HOUR_S)
        store.upkeep.sweep(0.0)
        assert store.blobs.read(digest) == b"data"
        assert store.slots.load(KEY) == b"half"

    def test_upkeep_refuses_what_is_no_digest_or_key(self, store: Store) -> None:
        with pytest.raises(InputError, match="no digest"):
            store.upkeep.refresh(Digest("md5:0"))
        with pytest.raises(InputError, match="no digest"):
            store.upkeep.remove_blob(Digest("../x"), 0.0)
        with pytest.raises(InputError, match="no step key"):
            store.upkeep.remove_slot("../x", 0.0)
