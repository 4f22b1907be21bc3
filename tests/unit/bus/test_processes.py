"""The SQLite bus between processes: wake-ups, death, forks."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from modelpress.bus.ports import Consumer, Message, Topic, drain
from modelpress.bus.sqlite import SqliteBus
from modelpress.testing.bus import readable

PATIENCE_S = 30.0
BEGIN = """
import os, sys
from pathlib import Path
from modelpress.bus.ports import Message, Topic, after
from modelpress.bus.sqlite import SqliteBus
from modelpress.errors import BusError
bus = SqliteBus(Path(sys.argv[1]))
"""


@contextlib.contextmanager
def process(script: str, path: Path) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """``script`` with ``bus``; its output. It ends when its input does, or is killed."""
    command = [sys.executable, "-c", BEGIN + script, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield child, child.stdout
        finally:
            child.kill()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bus.sqlite"


@pytest.fixture
def bus(path: Path) -> Iterator[SqliteBus]:
    bus = SqliteBus(path)
    bus.ensure([Topic("in", 4), Topic("out")])
    yield bus
    bus.close()


def until(reached: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < deadline_s


def owns_all(consumer: Consumer) -> None:
    """Poll until nobody else is in the group."""

    def alone() -> bool:
        consumer.poll(0.05)
        return len(consumer.assigned) == 4

    until(alone)


WRITER = """
number = 0
while True:
    bus.producer().send([Message("in", "k", b"%d-%d" % (number, part)) for part in range(3)])
    print(number, flush=True)
    number += 1
"""


def test_a_killed_writer_leaves_whole_sends(bus: SqliteBus, path: Path) -> None:
    with process(WRITER, path) as (_, output):
        for _ in range(20):
            told = int(output.readline())
    values = [r.value.decode() for r in drain(bus.tail(["in"]))]
    assert values[: 3 * (told + 1)] == [f"{n}-{part}" for n in range(told + 1) for part in range(3)]
    assert len(values) % 3 == 0
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


ECHO = """
consumer = bus.consumer("echo", ["in"])
print("joined", flush=True)
while True:
    for record in consumer.poll(30.0):
        consumer.commit(after([record]), [Message("out", record.key, record.value)])
"""


def test_processes_wake_each_other(bus: SqliteBus, path: Path) -> None:
    replies = bus.tail(["out"])
    with process(ECHO, path) as (_, output):
        assert output.readline() == "joined\n"
        for value in (b"1", b"2", b"3"):
            bus.producer().send([Message("in", "k", value)])
            assert readable(replies, PATIENCE_S)
            assert [r.value for r in replies.poll(PATIENCE_S)] == [value]


MEMBER = """
consumer = bus.consumer("g", ["in"])
records = []
while len(records) < 4:
    records += consumer.poll(1.0)
consumer.commit(after(records[:2]))
print(len(consumer.assigned), flush=True)
"""
ENDINGS = {
    "killed": "sys.stdin.read()",
    "closed": "consumer.close(); print('closed', flush=True); sys.stdin.read()",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_another_process_takes_over(bus: SqliteBus, path: Path, ending: str) -> None:
    bus.producer().send([Message("in", "k", b"%d" % n, n) for n in range(4)])
    with process(MEMBER + ENDINGS[ending], path) as (child, output):
        assert output.readline() == "4\n"
        heir = bus.consumer("g", ["in"])
        heir.poll()
        if ending == "closed":
            assert output.readline() == "closed\n"
        else:
            assert len(heir.assigned) == 2
            child.kill()
        owns_all(heir)
    heir.close()
    assert len(drain(bus.consumer("g", ["in"]))) == 2


FORK = """
consumer = bus.consumer("g", ["in"])
consumer.poll()
if os.fork() == 0:
    try:
        bus.producer().send([Message("in", "k", b"1")])
    except BusError as e:
        print(e, flush=True)
    sys.stdin.readline()
    bus.close()
    print("closed", flush=True)
    os._exit(0)
os.wait()
sys.stdin.read()
"""


def test_a_forked_child_does_not_stand_in_for_its_parent(bus: SqliteBus, path: Path) -> None:
    with process(FORK, path) as (parent, output):
        assert "forked child" in output.readline()
        heir = bus.consumer("g", ["in"])
        heir.poll()
        assert len(heir.assigned) == 2
        parent.kill()
        owns_all(heir)


def test_a_forked_child_that_closes_ends_nothing_of_its_parents(bus: SqliteBus, path: Path) -> None:
    with process(FORK, path) as (parent, output):
        assert "forked child" in output.readline()
        assert parent.stdin is not None
        print("close", file=parent.stdin, flush=True)
        assert output.readline() == "closed\n"
        heir = bus.consumer("g", ["in"])
        heir.poll()
        assert len(heir.assigned) == 2
