"""The filesystem store on disks that are full, or that can only be read."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelpress.artifacts.digest import digest_of
from modelpress.artifacts.filesystem import FilesystemStore
from modelpress.artifacts.gc import collect
from modelpress.artifacts.manifest import put_artifact
from modelpress.artifacts.refs import resolve
from modelpress.artifacts.usage import usage
from modelpress.artifacts.verify import verify
from modelpress.catalogue import Kind
from modelpress.errors import CorruptBlobError, InputError, StoreError, StoreFullError
from tests.unit.artifacts.disks import disk_of_1_mb, remounted_read_only
from tests.unit.artifacts.made import KEY, WRITES, blob_path

REMOVALS: dict[str, Callable[[FilesystemStore], object]] = {
    "blob": lambda store: store.blobs.discard(digest_of(b"kept")),
    "result": lambda store: store.results.discard(KEY),
    "tag": lambda store: store.tags.remove("name", digest_of(b"x")),
    "slot": lambda store: store.slots.discard(KEY),
    "refresh": lambda store: store.upkeep.refresh(digest_of(b"kept")),
    "collect": lambda store: collect(store, [], (), grace_s=0.0),
}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with disk_of_1_mb(tmp_path / "disk") as disk:
        yield disk


def test_a_disk_that_is_really_full_stays_readable_and_writable_once_freed(small_disk: Path) -> None:
    store = FilesystemStore(small_disk)
    kept = store.blobs.put([b"a" * 300_000])
    store.results.create(KEY, b"result")
    with pytest.raises(StoreFullError):
        store.blobs.put(bytes([i]) * 100_000 for i in range(20))
    assert store.blobs.read(kept) == b"a" * 300_000
    assert store.results.get(KEY) == b"result"
    assert list(store.blobs.matching("sha256:")) == [kept]
    store.blobs.discard(kept)
    assert store.blobs.size(store.blobs.put([b"b" * 600_000])) == 600_000


def test_a_full_disk_can_be_collected_and_written_again(small_disk: Path) -> None:
    store = FilesystemStore(small_disk)

    def fill() -> None:
        for i in range(20):
            store.blobs.put([bytes([i]) * 100_000])

    with pytest.raises(StoreFullError):
        fill()
    done = collect(store, [], (), grace_s=0.0)
    assert len(done.blobs) >= 5
    assert done.freed_bytes == 100_000 * len(done.blobs)
    assert store.blobs.size(store.blobs.put([b"b" * 600_000])) == 600_000


def test_an_artifact_that_does_not_fit_leaves_no_manifest(small_disk: Path) -> None:
    store = FilesystemStore(small_disk)
    layers = {f"layer-{i}": [bytes([i]) * 100_000] * 3 for i in range(5)}
    with pytest.raises(StoreFullError):
        put_artifact(store, Kind.MODEL, {}, layers)
    assert {entry.size_bytes for entry in store.upkeep.blobs()} == {300_000}
    assert list((small_disk / "default" / "tmp").iterdir()) == []


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[FilesystemStore]:
    """A store with one of everything on a disk that can only be read."""
    with disk_of_1_mb(tmp_path / "disk") as disk:
        store = FilesystemStore(disk)
        digest = put_artifact(store, Kind.REPORT, {}, {"report.json": b"kept"})
        store.results.create(KEY, b"{}")
        store.tags.swap("name", None, digest)
        store.slots.save(KEY, b"half")
        with remounted_read_only(disk):
            yield FilesystemStore(disk)


def test_a_store_on_a_read_only_disk_can_be_read(read_only: FilesystemStore) -> None:
    digest = resolve(read_only, "name")
    assert read_only.blobs.read(digest_of(b"kept")) == b"kept"
    assert b"".join(read_only.blobs.open(digest_of(b"kept"))) == b"kept"
    assert read_only.results.get(KEY) == b"{}"
    assert read_only.slots.load(KEY) == b"half"
    assert list(read_only.blobs.matching("sha256:")) == sorted([digest, digest_of(b"kept")])
    assert verify(read_only) == []
    assert usage(read_only).checkpoint_bytes == 4
    assert collect(read_only, [], (), grace_s=0.0, dry_run=True).slots == (KEY,)


@pytest.mark.parametrize(
    "write", [*WRITES.values(), *REMOVALS.values()], ids=[*WRITES, *(f"{name} gone" for name in REMOVALS)]
)
def test_a_store_on_a_read_only_disk_says_that_it_cannot_be_written(
    read_only: FilesystemStore, tmp_path: Path, write: Callable[[FilesystemStore], object]
) -> None:
    with pytest.raises(StoreError, match=f"the store at {tmp_path}.* cannot be written .*Read-only file system"):
        write(read_only)


def test_no_store_can_be_made_on_a_read_only_disk(tmp_path: Path) -> None:
    with (
        disk_of_1_mb(tmp_path / "disk") as disk,
        remounted_read_only(disk),
        pytest.raises(InputError, match=r"no store can be made at .*Read-only file system"),
    ):
        FilesystemStore(disk)


def test_a_corrupt_blob_on_a_read_only_disk_is_found_each_time(tmp_path: Path) -> None:
    with disk_of_1_mb(tmp_path / "disk") as disk:
        digest = FilesystemStore(disk).blobs.put([b"whole"])
        blob_path(disk, digest).write_bytes(b"wrong")
        with remounted_read_only(disk):
            store = FilesystemStore(disk)
            for _ in range(2):
                with pytest.raises(CorruptBlobError, match=digest):
                    store.blobs.read(digest)
            assert [damage.blob for damage in verify(store)] == [digest]
