"""Homes whose disk is full, read-only or damaged: what happened is said, and what is there is not lost."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from modelpress.bus.ports import Message
from modelpress.bus.sqlite import SqliteBus
from modelpress.engine.events import DEAD_LETTERS, PROGRESS, RUNS
from modelpress.engine.state import RunState, RunStatus
from modelpress.errors import BusError, ModelpressError, StoreFullError
from tests.integration.homes import Toys, open_engine
from tests.unit.artifacts.disks import disk_of_1_mb, remounted_read_only


@pytest.fixture
def toys(tmp_path: Path) -> Toys:
    return Toys(tmp_path)


def fill(disk: Path, leave_bytes: int) -> Path:
    """Take all space of a disk but ``leave_bytes``; the file that does."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            size = file.tell()
        file.truncate(max(0, size - leave_bytes))
    return filler


def driven_on_a_full_disk(home: Path, run_id: str) -> RunState | None:
    """The run's state; None where not even the log can be opened."""
    try:
        with open_engine(home) as engine:
            state = engine.drive(run_id)
    except StoreFullError:
        return None
    assert state.status is RunStatus.SUCCEEDED or "no space is left" in state.error
    return state


@pytest.mark.parametrize("leave_kb", [0, 24, 48, 72, 96])
def test_a_disk_that_fills_up_in_the_middle_stops_a_run_that_goes_on_later(
    tmp_path: Path, toys: Toys, leave_kb: int
) -> None:
    with disk_of_1_mb(tmp_path / "disk") as disk:
        with open_engine(disk / "home") as engine:
            run_id = engine.submit(toys.diamond(), {})
        filler = fill(disk, leave_kb * 1024)
        state = driven_on_a_full_disk(disk / "home", run_id)
        filler.unlink()
        with open_engine(disk / "home") as engine:
            failed = state is not None and state.status is RunStatus.FAILED
            resumed = engine.drive(engine.resume(run_id) if failed else run_id)
        assert resumed.status is RunStatus.SUCCEEDED


def test_a_home_on_a_read_only_disk_says_so(tmp_path: Path, toys: Toys) -> None:
    with disk_of_1_mb(tmp_path / "disk") as disk:
        with open_engine(disk / "home") as engine:
            engine.submit(toys.diamond(), {})
        with remounted_read_only(disk), pytest.raises(ModelpressError, match="cannot be written"):
            open_engine(disk / "home")


def test_a_damaged_log_is_named_and_another_home_is_the_way_on(tmp_path: Path, toys: Toys) -> None:
    with open_engine(tmp_path / "home") as engine:
        engine.drive(engine.submit(toys.diamond(), {}))
    path = tmp_path / "home" / "bus.sqlite"
    data = bytearray(path.read_bytes())
    data[:4096] = bytes(range(256)) * 16
    path.write_bytes(data)
    for leftover in tmp_path.glob("home/bus.sqlite-*"):
        if leftover.is_file():
            leftover.unlink()
    with pytest.raises(BusError, match="damaged"):
        open_engine(tmp_path / "home")
    path.unlink()
    with open_engine(tmp_path / "home") as engine:
        state = engine.drive(engine.submit(toys.diamond(), {}))
    assert all(step.cached for step in state.steps.values())


def test_a_home_of_another_version_is_refused(tmp_path: Path) -> None:
    open_engine(tmp_path / "home").close()
    with sqlite3.connect(tmp_path / "home" / "bus.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(BusError, match="has layout 99"):
        open_engine(tmp_path / "home")


def test_records_that_cannot_be_read_stop_no_other_run_and_can_be_removed(tmp_path: Path, toys: Toys) -> None:
    with open_engine(tmp_path / "home") as engine:
        good = engine.submit(toys.diamond(), {})
        bus = SqliteBus(tmp_path / "home" / "bus.sqlite")
        bus.producer().send(
            [Message(RUNS, "bad", b"{"), Message(DEAD_LETTERS, "odd", b"{"), Message(PROGRESS, good, b"{")]
        )
        bus.close()
        assert engine.drive(good).status is RunStatus.SUCCEEDED
        assert [run.run_id for run in engine.runs()] == [good]
        assert {word.step_id for word in engine.progress(good)} == set("abcd")
        assert list(engine.unreadable()) == ["bad"]
        with pytest.raises(BusError, match="`modelpress rm bad` forgets the run"):
            engine.get("bad")
        engine.remove("bad")
        assert engine.unreadable() == {}
        assert [letter.id for letter in engine.dead_letters()] == ["odd"]
        engine.drop("odd")
        assert engine.dead_letters() == ()
