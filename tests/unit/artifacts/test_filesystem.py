"""What the filesystem store promises beyond the contract: full disks, deaths at any moment, old leftovers."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelpress.artifacts import files
from modelpress.artifacts.digest import Digest, digest_of
from modelpress.artifacts.filesystem import FilesystemStore
from modelpress.artifacts.streams import CHUNK_BYTES
from modelpress.errors import CorruptBlobError, InputError, NotFoundError, StoreError, StoreFullError
from tests.unit.artifacts.made import KEY, WRITES, blob_path


def visible(root: Path) -> list[str]:
    """Files of the store that readers can see, and temporary ones."""
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and p.suffix != ".lock")


def fail_with(number: int) -> Callable[..., int]:
    def fail(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.fixture
def store(tmp_path: Path) -> FilesystemStore:
    return FilesystemStore(tmp_path)


def test_the_layout_is_as_documented(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path, tenant="lab")
    digest = store.blobs.put([b"data"])
    store.results.create(KEY, b"{}")
    store.tags.swap("fashion/resnet", None, digest)
    store.slots.save(KEY, b"half")
    assert visible(tmp_path) == [
        f"lab/blobs/sha256/{digest.removeprefix('sha256:')}",
        f"lab/results/{KEY}",
        f"lab/slots/{KEY}",
        "lab/tags/fashion%2Fresnet",
    ]


def test_tenants_do_not_see_each_other(tmp_path: Path) -> None:
    one, two = FilesystemStore(tmp_path, "one"), FilesystemStore(tmp_path, "two")
    digest = one.blobs.put([b"secret"])
    one.tags.swap("name", None, digest)
    with pytest.raises(NotFoundError):
        two.blobs.read(digest)
    assert two.tags.get("name") is None


@pytest.mark.parametrize("tenant", ["", ".", "..", "a/b", "/etc", "a b", "x" * 129])
def test_what_is_no_name_for_a_tenant_is_refused(tmp_path: Path, tenant: str) -> None:
    with pytest.raises(InputError, match="tenant"):
        FilesystemStore(tmp_path, tenant)
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_is_a_file_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="no store can be made at"):
        FilesystemStore(tmp_path / "file")


@pytest.mark.parametrize("kind", WRITES)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_halfway_leaves_nothing_half_written(
    store: FilesystemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, number: int
) -> None:
    kept = store.blobs.put([b"before"])
    before = visible(tmp_path)
    real_write = os.write

    def write(handle: int, data: memoryview) -> int:
        if len(data) > 40:
            return real_write(handle, data[:40])
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr("os.write", write)
        with pytest.raises(StoreFullError, match=f"no space is left for the store at {tmp_path}"):
            WRITES[kind](store)
    assert visible(tmp_path) == before
    assert store.blobs.read(kept) == b"before"
    WRITES[kind](store)
    assert len(visible(tmp_path)) == len(before) + 1


@pytest.mark.parametrize(
    ("kind", "call"),
    [(kind, "tempfile.mkstemp") for kind in WRITES]
    + [("blob", "os.replace"), ("result", "os.link"), ("tag", "os.replace"), ("slot", "os.replace")],
)
def test_a_disk_without_room_for_names_is_full_too(
    store: FilesystemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, call: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(call, fail_with(errno.ENOSPC))
        with pytest.raises(StoreFullError):
            WRITES[kind](store)
    assert visible(tmp_path) == []


def test_other_errors_of_the_system_pass_as_they_are(store: FilesystemStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.write", fail_with(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        store.blobs.put([b"x"])


def test_a_file_system_without_hard_links_is_named(store: FilesystemStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.link", fail_with(errno.EPERM))
    with pytest.raises(StoreError, match="makes no hard links"):
        store.results.create(KEY, b"x")


def run_and_die(root: Path, at: str, statement: str) -> None:
    """Run ``statement`` in a process that is killed as it calls ``os.<at>``."""
    script = f"""
import os, signal
from pathlib import Path
from modelpress.artifacts.digest import digest_of
from modelpress.artifacts.filesystem import FilesystemStore
store = FilesystemStore(Path({str(root)!r}), durability="power")
os.{at} = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
{statement}
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9


@pytest.mark.parametrize("at", ["write", "fsync", "replace"])
def test_a_writer_that_dies_leaves_what_was_there(store: FilesystemStore, tmp_path: Path, at: str) -> None:
    store.tags.swap("name", None, digest_of(b"old"))
    store.slots.save(KEY, b"old")
    run_and_die(tmp_path, at, "store.tags.swap('name', digest_of(b'old'), digest_of(b'new'))")
    run_and_die(tmp_path, at, f"store.slots.save({KEY!r}, b'new')")
    run_and_die(tmp_path, at, "store.blobs.put([b'new'])")
    assert store.tags.get("name") == digest_of(b"old")
    assert store.slots.load(KEY) == b"old"
    assert store.blobs.size(digest_of(b"new")) is None
    assert store.tags.swap("name", digest_of(b"old"), digest_of(b"new")), "the lock died with its holder"


@pytest.mark.parametrize("at", ["write", "fsync", "link"])
def test_a_result_whose_writer_died_can_be_created(store: FilesystemStore, tmp_path: Path, at: str) -> None:
    run_and_die(tmp_path, at, f"store.results.create({KEY!r}, b'dead')")
    assert store.results.get(KEY) is None
    assert store.results.create(KEY, b"alive") == b"alive"


def test_old_leftovers_are_swept_when_the_store_is_opened(tmp_path: Path) -> None:
    FilesystemStore(tmp_path)
    temporary = tmp_path / "default" / "tmp"
    (temporary / "old").write_bytes(b"half")
    (temporary / "new").write_bytes(b"half")
    hour_ago = time.time() - files.STALE_S - 1
    os.utime(temporary / "old", (hour_ago, hour_ago))
    FilesystemStore(tmp_path)
    assert [path.name for path in temporary.iterdir()] == ["new"]


def test_a_temporary_file_that_somebody_holds_is_not_swept(store: FilesystemStore, tmp_path: Path) -> None:
    temporary = tmp_path / "default" / "tmp"

    def chunks() -> Iterator[bytes]:
        yield b"half"
        (half,) = temporary.iterdir()
        os.utime(half, (1, 1))  # as after a machine has slept
        FilesystemStore(tmp_path)
        yield b"rest"

    assert store.blobs.read(store.blobs.put(chunks())) == b"halfrest"


def test_what_was_set_aside_is_swept_when_it_is_old(store: FilesystemStore, tmp_path: Path) -> None:
    digest = store.blobs.put([b"whole"])
    path = blob_path(tmp_path, digest)
    path.write_bytes(b"spoiled")
    os.utime(path, (1, 1))
    with pytest.raises(CorruptBlobError):
        store.blobs.read(digest)
    aside = path.with_suffix(".corrupt")
    assert (store.upkeep.sweep(60.0), aside.exists()) == (0, True), "its age counts from when it was found"
    assert (store.upkeep.sweep(0.0, dry_run=True), aside.exists()) == (7, True)
    assert (store.upkeep.sweep(0.0), aside.exists()) == (7, False)


def test_a_write_leaves_no_temporary_file(store: FilesystemStore, tmp_path: Path) -> None:
    for write in (*WRITES.values(), *WRITES.values()):
        write(store)
    assert list((tmp_path / "default" / "tmp").iterdir()) == []


def test_a_tag_that_holds_no_digest_is_named(store: FilesystemStore, tmp_path: Path) -> None:
    (tmp_path / "default" / "tags" / "name").write_bytes(b"")
    with pytest.raises(StoreError, match=r"the tag 'name' at .* holds no digest"):
        store.tags.get("name")


def test_durability_decides_about_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)
    FilesystemStore(tmp_path, "a", durability="process").blobs.put([b"x"])
    assert synced == []
    FilesystemStore(tmp_path, "b", durability="power").blobs.put([b"x"])
    assert len(synced) == 2, "the file and its folder"


def test_a_large_blob_is_put_chunk_by_chunk(store: FilesystemStore) -> None:
    alive, most_alive = 0, 0

    class Chunk(bytes):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def chunks() -> Iterator[bytes]:
        nonlocal alive, most_alive
        for _ in range(100):
            alive += 1
            most_alive = max(most_alive, alive)
            yield Chunk(1000)

    assert store.blobs.size(store.blobs.put(chunks())) == 100_000
    assert most_alive <= 3


def test_a_blob_is_read_and_written_in_flat_memory(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
from modelpress.artifacts.filesystem import FilesystemStore
def peak_mb():
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
store = FilesystemStore(Path({str(tmp_path)!r}))
before_mb = peak_mb()
digest = store.blobs.put(bytes([i]) * {CHUNK_BYTES} for i in range(100))
assert sum(map(len, store.blobs.open(digest))) == 100 * {CHUNK_BYTES}
print(peak_mb() - before_mb)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 30


def test_a_create_that_lost_to_a_discarded_result_tries_again(
    store: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.results.create(KEY, b"first")
    real_link = os.link

    def link(source: Path, target: Path) -> None:
        try:
            real_link(source, target)
        finally:
            store.results.discard(KEY) if target.read_bytes() == b"first" else None

    monkeypatch.setattr("os.link", link)
    assert store.results.create(KEY, b"second") == b"second"
    assert store.results.get(KEY) == b"second"


def test_a_digest_is_no_path(store: FilesystemStore, tmp_path: Path) -> None:
    (tmp_path / "default" / "secret").write_bytes(b"s")
    with pytest.raises(InputError):
        store.blobs.read(Digest("sha256:../../secret"))
