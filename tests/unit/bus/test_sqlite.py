"""What the contract cannot ask of every adapter: files, versions, full disks."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelpress import __version__
from modelpress.bus.ports import Message, Topic, after, drain, latest
from modelpress.bus.sqlite import SqliteBus
from modelpress.errors import BusError, StoreFullError

TOPICS = (Topic("in"), Topic("out"), Topic("state", compacted=True))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bus.sqlite"


@pytest.fixture
def bus(path: Path) -> Iterator[SqliteBus]:
    bus = SqliteBus(path)
    bus.ensure(TOPICS)
    yield bus
    bus.close()


def connection(bus: SqliteBus) -> sqlite3.Connection:
    return bus._log.file._db


def limit_pages(bus: SqliteBus, room: int | None) -> None:
    """Let the file grow by ``room`` pages only; None: as it likes."""
    (pages,) = connection(bus).execute("PRAGMA page_count").fetchone()
    limit = 1 << 30 if room is None else pages + room
    connection(bus).execute(f"PRAGMA max_page_count = {limit}")


def test_a_full_disk_is_named_writes_nothing_and_ends(bus: SqliteBus) -> None:
    bus.producer().send([Message("in", "k", b"1")])
    consumer = bus.consumer("g", ["in"])
    records = consumer.poll()
    limit_pages(bus, 2)
    with pytest.raises(StoreFullError, match=r"bus\.sqlite.*free some space"):
        consumer.commit(after(records), [Message("out", "k", bytes(100_000))])
    with pytest.raises(StoreFullError):
        bus.producer().send([Message("out", "k", bytes(100_000))])
    assert drain(bus.tail(["out"])) == []
    limit_pages(bus, None)
    consumer.commit(after(records), [Message("out", "k", bytes(100_000))])
    assert len(drain(bus.tail(["out"]))) == 1
    consumer.close()
    assert drain(bus.consumer("g", ["in"])) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"only who may mount can fill a disk: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_really_full_is_told_too(small_disk: Path) -> None:
    bus = SqliteBus(small_disk / "bus.sqlite")
    bus.ensure(TOPICS)
    (small_disk / "filler").write_bytes(bytes(shutil.disk_usage(small_disk).free))
    with pytest.raises(StoreFullError, match=r"bus\.sqlite.*free some space"):
        bus.producer().send([Message("in", "k", bytes(50_000))])
    (small_disk / "filler").unlink()
    bus.producer().send([Message("in", "k", b"1")])
    assert [r.value for r in drain(bus.tail(["in"]))] == [b"1"]
    bus.close()


def test_a_reader_that_cannot_be_entered_leaves_no_socket(path: Path, bus: SqliteBus) -> None:
    connection(bus).execute("PRAGMA query_only = 1")
    for use in (lambda: bus.tail(["in"]).fileno(), lambda: bus.consumer("g", ["in"])):
        with pytest.raises(BusError, match="cannot be written"):
            use()
    assert list(path.with_name("bus.sqlite-readers").iterdir()) == []


def test_closing_on_a_full_disk_leaves_no_socket(path: Path) -> None:
    bus = SqliteBus(path)
    bus.ensure(TOPICS)
    bus.consumer("g", ["in"]).poll()
    limit_pages(bus, 0)
    bus.close()
    assert list(path.with_name("bus.sqlite-readers").iterdir()) == []


def test_a_file_that_is_no_bus_is_named(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(BusError, match=r"bus\.sqlite is damaged .*move bus\.sqlite and its -wal away .*stay"):
        SqliteBus(path)


def test_damage_within_is_named_when_it_is_met(path: Path) -> None:
    bus = SqliteBus(path)
    bus.ensure(TOPICS)
    bus.producer().send([Message("in", "k", bytes(3000)) for _ in range(50)])
    bus.close()
    data = bytearray(path.read_bytes())
    data[8 * 4096 :] = b"\xa5" * (len(data) - 8 * 4096)
    path.write_bytes(data)
    bus = SqliteBus(path)
    with pytest.raises(BusError, match=r"bus\.sqlite is damaged"):
        drain(bus.tail(["in"]))
    bus.close()


def test_a_file_of_the_first_layout_is_refused_as_it_was(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE records (offset INTEGER PRIMARY KEY, topic TEXT, key TEXT, value BLOB)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(BusError, match=r"an earlier modelpress 0\.1 and has layout 1.*move bus\.sqlite"):
        SqliteBus(path)
    assert path.read_bytes() == before


def test_a_file_of_a_newer_layout_names_its_maker(path: Path) -> None:
    SqliteBus(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 7")
        db.execute("UPDATE made_by SET version = '4.5.6'")
    db.close()
    with pytest.raises(BusError, match=rf"modelpress 4\.5\.6 and has layout 7, this is modelpress {__version__}"):
        SqliteBus(path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BusError, match=r"nowhere.*No such file or directory.*name a home"):
        SqliteBus(tmp_path / "nowhere" / "bus.sqlite")


def test_a_file_that_cannot_be_written_is_named(path: Path) -> None:
    path.mkdir()
    with pytest.raises(BusError, match=r"bus\.sqlite cannot be written .*name a home that you can write"):
        SqliteBus(path)


def test_power_syncs_and_process_does_not(tmp_path: Path) -> None:
    levels = {}
    for durability in ("process", "power"):
        bus = SqliteBus(tmp_path / f"{durability}.sqlite", durability)
        (levels[durability],) = connection(bus).execute("PRAGMA synchronous").fetchone()
        bus.close()
    assert levels == {"process": 1, "power": 2}


def interrupted_insert(bus: SqliteBus) -> None:
    with bus._log.file.transaction() as db:
        db.execute("INSERT INTO records (id, key, value) VALUES (0, 'k', x'00')")
        raise KeyboardInterrupt


def test_an_interrupted_block_leaves_nothing_and_the_bus_usable(bus: SqliteBus) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted_insert(bus)
    bus.producer().send([Message("in", "k", b"1")])
    assert [r.value for r in drain(bus.tail(["in"]))] == [b"1"]


def test_compaction_keeps_one_row_a_key(bus: SqliteBus) -> None:
    for i in range(100):
        bus.producer().send([Message("state", "ab"[i % 2], b"%d" % i), Message("in", "a", b"")])
    (kept,) = connection(bus).execute("SELECT count(*) FROM records WHERE slot IS NOT NULL").fetchone()
    assert kept == 2
    assert latest(bus, "state") == {"a": b"98", "b": b"99"}


def test_a_closed_bus_leaves_no_socket_and_no_member(path: Path) -> None:
    bus, other = SqliteBus(path), SqliteBus(path)
    bus.ensure(TOPICS)
    bus.consumer("g", ["in"]).poll()
    bus.tail(["in"]).fileno()
    assert len(list(path.with_name("bus.sqlite-readers").iterdir())) == 2
    bus.close()
    bus.close()
    for table in ("members", "readers"):
        assert connection(other).execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    assert list(path.with_name("bus.sqlite-readers").iterdir()) == []
    other.close()


def test_a_reader_that_died_is_forgotten_by_the_next_writers(path: Path, bus: SqliteBus) -> None:
    dead = bus.tail(["in"])
    dead.fileno()
    (socket,) = path.with_name("bus.sqlite-readers").iterdir()
    socket.unlink()
    for _ in range(2):
        bus.producer().send([Message("in", "k", b"1")])
    assert connection(bus).execute("SELECT count(*) FROM readers").fetchone() == (0,)
