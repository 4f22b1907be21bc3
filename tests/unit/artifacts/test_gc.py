from collections.abc import Callable, Container, Iterable

import pytest

from modelpress.artifacts.digest import Digest, digest_of
from modelpress.artifacts.gc import Collected, collect
from modelpress.artifacts.manifest import get_manifest
from modelpress.artifacts.memory import MemoryStore
from modelpress.artifacts.refs import broken_blobs
from modelpress.errors import StoreError
from tests.unit.artifacts.made import HOUR_S, SHARED, artifact, grow_old, key_of, result


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def collected(
    store: MemoryStore,
    roots: Iterable[Digest] = (),
    keep_results: Container[str] = (),
    keep_slots: Container[str] = (),
    dry_run: bool = False,
) -> Collected:
    return collect(store, roots, keep_results, grace_s=HOUR_S, keep_slots=keep_slots, dry_run=dry_run)


def whole(store: MemoryStore, *digests: Digest) -> list[bool]:
    """Which artifacts are whole; without the refreshing that `broken_blobs` does."""
    held = store.blobs.data
    return [d in held and all(blob in held for blob in get_manifest(store, d).blobs()) for d in digests]


def test_what_a_tag_or_a_root_leads_to_stays_and_the_rest_goes(store: MemoryStore) -> None:
    tagged, rooted, loose = (artifact(store, name) for name in ("tagged", "rooted", "loose"))
    store.tags.swap("name", None, tagged)
    stray = store.blobs.put([b"stray"])
    grow_old(store)
    done = collected(store, [rooted])
    assert whole(store, tagged, rooted, loose) == [True, True, False]
    assert set(done.blobs) == {loose, digest_of(b"layer of loose"), stray}
    assert (done.kept_blobs, done.young, done.damaged) == (5, 0, ())
    assert done.kept_bytes == sum(map(len, store.blobs.data.values()))
    assert store.blobs.read(digest_of(SHARED)) == SHARED


def test_freed_bytes_are_those_that_are_gone(store: MemoryStore) -> None:
    artifact(store, "loose")
    store.slots.save(key_of("slot"), b"o" * 1000)
    before = sum(map(len, store.blobs.data.values())) + 1000
    grow_old(store)
    assert collected(store).freed_bytes == before
    assert (store.blobs.data, store.slots.data) == ({}, {})


def test_what_is_young_stays_until_it_is_old(store: MemoryStore) -> None:
    loose = artifact(store, "loose")
    done = collected(store)
    assert (done.blobs, done.young, done.kept_blobs) == ((), 3, 3)
    grow_old(store)
    assert len(collected(store).blobs) == 3
    assert whole(store, loose) == [False]


def test_a_kept_result_keeps_its_outputs_and_another_goes_with_them(store: MemoryStore) -> None:
    kept, cached = artifact(store, "kept"), artifact(store, "cached")
    keep, drop = result(store, "kept", kept), result(store, "cached", cached)
    grow_old(store)
    done = collected(store, keep_results={keep})
    assert whole(store, kept, cached) == [True, False]
    assert done.results == (drop,)
    assert list(store.results.keys()) == [keep]


def test_a_result_whose_outputs_all_stay_stays(store: MemoryStore) -> None:
    tagged, loose = artifact(store, "tagged"), artifact(store, "loose")
    store.tags.swap("name", None, tagged)
    both, one = result(store, "both", tagged, loose), result(store, "one", tagged)
    nothing = result(store, "nothing")
    grow_old(store)
    assert collected(store).results == (both,)
    assert set(store.results.keys()) == {one, nothing}


def test_a_result_that_was_made_or_found_within_the_grace_stays_whole(store: MemoryStore) -> None:
    made, found, old = (artifact(store, name) for name in ("made", "found", "old"))
    keys = [result(store, name, digest) for name, digest in (("found", found), ("old", old))]
    grow_old(store)
    assert broken_blobs(store, found) == (), "as a cache hit looks"
    made = artifact(store, "made")
    keys.append(result(store, "made", made))
    assert collected(store).results == (keys[1],)
    assert whole(store, made, found, old) == [True, True, False]


def test_an_artifact_that_is_put_again_is_young_with_all_its_layers(store: MemoryStore) -> None:
    loose = artifact(store, "loose")
    grow_old(store)
    assert artifact(store, "loose") == loose
    assert collected(store).blobs == ()


def test_results_that_cannot_be_read_or_lead_to_nothing_go(store: MemoryStore) -> None:
    for name, value in (("a", b"{"), ("b", b'{"outputs": {"model": "latest"}}'), ("c", b"[]"), ("d", b"\xff")):
        store.results.create(key_of(name), value)
    result(store, "e", digest_of(b"gone"))
    assert len(collected(store).results) == 5
    assert list(store.results.keys()) == []


def test_old_slots_go_unless_they_are_kept(store: MemoryStore) -> None:
    for name in ("old", "kept"):
        store.slots.save(key_of(name), b"half")
    grow_old(store)
    store.slots.save(key_of("young"), b"half")
    done = collected(store, keep_slots={key_of("kept")})
    assert done.slots == (key_of("old"),)
    assert list(store.slots.keys()) == sorted([key_of("kept"), key_of("young")])


def test_a_dry_run_tells_the_same_and_removes_nothing(store: MemoryStore) -> None:
    loose, cached = artifact(store, "loose"), artifact(store, "cached")
    result(store, "cached", cached)
    store.slots.save(key_of("slot"), b"half")
    grow_old(store)
    told = collected(store, dry_run=True)
    assert whole(store, loose, cached) == [True, True]
    assert list(store.results.keys()) == [key_of("cached")]
    assert list(store.slots.keys()) == [key_of("slot")]
    done = collected(store)
    assert told.dry_run
    assert (told.blobs, told.results, told.slots) == (done.blobs, done.results, done.slots)
    assert (told.freed_bytes, told.kept_bytes) == (done.freed_bytes, done.kept_bytes)


@pytest.mark.parametrize("spoiled", [None, b"{}"], ids=["missing", "corrupt"])
def test_a_tag_with_a_damaged_manifest_stops_collection_before_it_begins(
    store: MemoryStore, spoiled: bytes | None
) -> None:
    tagged, loose = artifact(store, "tagged"), artifact(store, "loose")
    store.tags.swap("name", None, tagged)
    grow_old(store)
    if spoiled is None:
        store.blobs.discard(tagged)
    else:
        store.blobs.data[tagged] = spoiled
    with pytest.raises(StoreError, match=f"the tag 'name' leads to {tagged}.*nothing was removed"):
        collected(store)
    assert store.blobs.size(digest_of(b"layer of tagged")) is not None
    assert whole(store, loose) == [True]


def test_a_damaged_root_is_told(store: MemoryStore) -> None:
    rooted = artifact(store, "rooted")
    grow_old(store)
    store.blobs.discard(rooted)
    assert collected(store, [rooted, digest_of(b"never")]).damaged == tuple(sorted([rooted, digest_of(b"never")]))


def test_a_root_that_is_no_manifest_stays(store: MemoryStore) -> None:
    plain = store.blobs.put([b"plain"])
    grow_old(store)
    assert collected(store, [plain]).blobs == ()


class Meddling(MemoryStore):
    """A store in which something happens as soon as the first result was discarded."""

    def __init__(self) -> None:
        super().__init__()
        self.then: Callable[[], object] = lambda: None
        discard = self.results.discard

        def meddle(key: str) -> None:
            discard(key)
            self.then()

        self.results.discard = meddle  # type: ignore[method-assign]


def test_what_is_found_while_it_is_collected_stays_whole() -> None:
    store = Meddling()
    cached = artifact(store, "cached")
    result(store, "cached", cached)
    grow_old(store)
    seen: list[tuple[Digest, ...]] = []
    store.then = lambda: seen.append(broken_blobs(store, cached))
    done = collected(store)
    assert seen == [()]
    assert done.blobs == ()
    assert whole(store, cached) == [True]


def test_results_go_before_blobs_and_manifests_before_layers() -> None:
    store = Meddling()
    cached = artifact(store, "cached")
    result(store, "cached", cached)
    grow_old(store)
    states: list[list[bool]] = []
    store.then = lambda: states.append(whole(store, cached))
    done = collected(store)
    assert states == [[True]]
    assert done.blobs[0] == cached
