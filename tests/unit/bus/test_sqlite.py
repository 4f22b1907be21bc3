"""What the contract cannot ask of every adapter: files, full disks, death."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from modelpress.bus.ports import Message, after, drain
from modelpress.bus.sqlite import SqliteBus
from modelpress.errors import BusError, StoreFullError


def fill(bus: SqliteBus) -> None:
    """Let the file grow by a few pages only."""
    with bus.transaction() as db:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
    with bus._lock:
        bus._db.execute(f"PRAGMA max_page_count={pages + 2}")


def test_a_full_disk_is_named_and_writes_nothing(tmp_path: Path) -> None:
    bus = SqliteBus(tmp_path / "bus.sqlite")
    bus.producer().send([Message("in", "k", b"1")])
    consumer = bus.consumer("g", ["in"])
    records = consumer.poll()
    fill(bus)
    with pytest.raises(StoreFullError, match=r"bus\.sqlite.*free some space"):
        consumer.commit(after(records), [Message("out", "k", bytes(100_000))])
    assert drain(bus.tail(["out"])) == []
    assert len(drain(bus.consumer("g", ["in"]))) == 1
    bus.close()


def test_a_file_that_is_no_bus_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bus.sqlite"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(BusError, match=r"bus\.sqlite cannot be used"):
        SqliteBus(path)


def test_power_syncs_and_process_does_not(tmp_path: Path) -> None:
    levels = {}
    for durability in ("process", "power"):
        bus = SqliteBus(tmp_path / f"{durability}.sqlite", durability)
        (levels[durability],) = bus._db.execute("PRAGMA synchronous").fetchone()
        bus.close()
    assert levels == {"process": 1, "power": 2}


def interrupted_insert(bus: SqliteBus) -> None:
    with bus.transaction() as db:
        db.execute("INSERT INTO records (topic, key, value) VALUES ('a', 'k', x'00')")
        raise KeyboardInterrupt


def test_an_interrupted_block_leaves_nothing_and_the_bus_usable(tmp_path: Path) -> None:
    bus = SqliteBus(tmp_path / "bus.sqlite")
    with pytest.raises(KeyboardInterrupt):
        interrupted_insert(bus)
    bus.producer().send([Message("a", "k", b"1")])
    assert [r.value for r in drain(bus.tail(["a"]))] == [b"1"]
    bus.close()


WRITER = """
import sys
from pathlib import Path
from modelpress.bus.ports import Message
from modelpress.bus.sqlite import SqliteBus
producer = SqliteBus(Path(sys.argv[1])).producer()
number = 0
while True:
    producer.send([Message("a", "k", b"%d-%d" % (number, part)) for part in range(3)])
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    number += 1
"""


def test_a_killed_writer_leaves_whole_sends(tmp_path: Path) -> None:
    path = tmp_path / "bus.sqlite"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(20):
            told = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
    bus = SqliteBus(path)
    values = [r.value.decode() for r in drain(bus.tail(["a"]))]
    bus.close()
    assert values[: 3 * (told + 1)] == [f"{n}-{part}" for n in range(told + 1) for part in range(3)]
    assert len(values) % 3 == 0
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
