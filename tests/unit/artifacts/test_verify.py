import errno
import os
from collections.abc import Iterator

import pytest

from modelpress.artifacts.digest import Digest, digest_of
from modelpress.artifacts.memory import MemoryStore
from modelpress.artifacts.refs import broken_blobs
from modelpress.artifacts.verify import CORRUPT, MISSING, verify
from tests.unit.artifacts.made import SHARED, artifact, result


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_a_whole_store_has_no_damage(store: MemoryStore) -> None:
    store.tags.swap("name", None, artifact(store, "tagged"))
    store.blobs.put([b"stray"])
    told: list[tuple[int, int]] = []
    assert verify(store, lambda done, total: told.append((done, total))) == []
    size_bytes = sum(map(len, store.blobs.data.values()))
    assert told[-1] == (size_bytes, size_bytes)
    assert told == sorted(told)


def test_damage_is_told_with_all_that_needs_it(store: MemoryStore) -> None:
    tagged, made = artifact(store, "tagged"), artifact(store, "made")
    store.tags.swap("name", None, tagged)
    key = result(store, "step", made)
    shared, own = digest_of(SHARED), digest_of(b"layer of made")
    store.blobs.data[shared] = b"spoiled"
    store.blobs.discard(own)
    damaged = {damage.blob: damage for damage in verify(store, runs={"run-1": [made]})}
    assert set(damaged) == {shared, own}
    first, second = damaged[shared], damaged[own]
    assert (first.problem, second.problem) == (CORRUPT, MISSING)
    assert (first.tags, first.results, first.runs) == (("name",), (key,), ("run-1",))
    assert (second.tags, second.results, second.runs) == ((), (key,), ("run-1",))
    assert "push 'name' again" in first.advice
    assert "resume the run run-1" in second.advice


def test_a_corrupt_manifest_is_damage_of_its_tag(store: MemoryStore) -> None:
    tagged = artifact(store, "tagged")
    store.tags.swap("name", None, tagged)
    store.blobs.data[tagged] = b"{}"
    (damage,) = verify(store)
    assert (damage.blob, damage.problem, damage.tags) == (tagged, CORRUPT, ("name",))


@pytest.mark.parametrize("cached", [True, False])
def test_what_no_user_named_needs_nothing_done(store: MemoryStore, cached: bool) -> None:
    digest = artifact(store, "made")
    if cached:
        result(store, "step", digest)
    store.blobs.data[digest_of(SHARED)] = b""
    (damage,) = verify(store)
    assert damage.advice.startswith("nothing: the step" if cached else "nothing: no tag")


def test_what_was_found_corrupt_can_be_made_again(store: MemoryStore) -> None:
    digest = artifact(store, "made")
    store.blobs.data[digest_of(SHARED)] = b"spoiled by one bit of many"[: len(SHARED)]
    assert broken_blobs(store, digest) == (), "its size is right"
    verify(store)
    assert broken_blobs(store, digest) == (digest_of(SHARED),)
    artifact(store, "made")
    assert broken_blobs(store, digest) == ()
    assert verify(store) == []


def test_a_device_that_fails_is_damage_too(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    digest, whole = store.blobs.put([b"one"]), store.blobs.put([b"two"])
    real_open = store.blobs.open

    def failing(asked: Digest) -> Iterator[bytes]:
        if asked == digest:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real_open(asked)

    monkeypatch.setattr(store.blobs, "open", failing)
    (damage,) = verify(store)
    assert (damage.blob, damage.problem) == (digest, "unreadable (Input/output error)")
    assert store.blobs.size(whole) == 3


def test_what_is_removed_while_it_is_verified_is_no_damage(store: MemoryStore) -> None:
    digests = sorted(store.blobs.put([bytes([i])]) for i in range(3))
    assert verify(store, lambda done, total: store.blobs.discard(digests[2])) == []
