from pathlib import Path

import pytest

from modelpress.artifacts.filesystem import FilesystemStore
from modelpress.artifacts.memory import MemoryStore
from modelpress.artifacts.usage import OTHER, Keeper, Share, usage
from modelpress.catalogue import Kind
from modelpress.errors import CorruptBlobError
from tests.unit.artifacts.made import SHARED, artifact, blob_path, key_of, result


def test_every_blob_counts_once_under_its_first_keeper() -> None:
    store = MemoryStore()
    tagged, in_run, cached = (artifact(store, name) for name in ("tagged", "in a run", "cached"))
    store.tags.swap("name", None, tagged)
    result(store, "one", tagged, cached)
    store.blobs.put([b"stray"])
    store.slots.save(key_of("slot"), b"half")
    told = usage(store, [in_run])
    sizes = {digest: len(store.blobs.data[digest]) for digest in store.blobs.data}
    own = {name: sizes[digest] + len(f"layer of {name}") for name, digest in (("in a run", in_run), ("cached", cached))}
    assert told.shares == (
        Share("model", Keeper.CACHE, 2, own["cached"]),
        Share("model", Keeper.RUN, 2, own["in a run"]),
        Share("model", Keeper.TAG, 3, sizes[tagged] + len(b"layer of tagged") + len(SHARED)),
        Share(OTHER, Keeper.NOTHING, 1, 5),
    )
    assert told.checkpoint_bytes == 4
    assert told.total_bytes == sum(sizes.values()) + 4
    assert sum(told.by_kind().values()) == sum(told.by_keeper().values()) == sum(sizes.values())
    assert told.by_keeper()[Keeper.NOTHING] == told.by_kind()[OTHER] == 5


def test_kinds_are_told_apart() -> None:
    store = MemoryStore()
    for name, kind in (("a", Kind.PACKAGE), ("b", Kind.DATASET)):
        store.tags.swap(name, None, artifact(store, name, kind))
    told = usage(store)
    assert set(told.by_kind()) == {"package", "dataset"}
    assert sum(share.blobs for share in told.shares) == 5, "the shared layer once"


def test_a_store_of_nothing_takes_nothing() -> None:
    assert usage(MemoryStore()).total_bytes == 0


def test_what_was_set_aside_is_a_leftover(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    digest = store.blobs.put([b"whole"])
    blob_path(tmp_path, digest).write_bytes(b"spoiled")
    with pytest.raises(CorruptBlobError):
        store.blobs.read(digest)
    told = usage(store)
    assert (told.shares, told.leftover_bytes, told.total_bytes) == ((), 7, 7)
