"""Sockets, paths and death: what the contract of the bus cannot see."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelpress.bus.doorbell import BellBoard, Doorbell
from modelpress.errors import BusError
from modelpress.testing.bus import readable

HANGER = """
import sys
from pathlib import Path
from modelpress.bus.doorbell import BellBoard
bell = BellBoard(Path(sys.argv[1])).hang("other")
print("hung", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def board(tmp_path: Path) -> Iterator[BellBoard]:
    board = BellBoard(tmp_path / "readers")
    yield board
    board.close()


def test_a_bell_rings_until_it_is_cleared() -> None:
    bell = Doorbell.private("a")
    assert not readable(bell)
    for _ in range(5):
        bell.ring()
    assert readable(bell)
    bell.clear()
    assert not readable(bell)
    bell.close()


def test_a_bell_that_nobody_clears_blocks_no_ringer(board: BellBoard) -> None:
    bell = board.hang("a")
    for _ in range(2000):
        assert board.ring(["a"]) == []
    bell.clear()
    assert not readable(bell)
    bell.close()


@pytest.mark.parametrize("depth", [0, 3], ids=["shallow", "deep"])
def test_bells_ring_however_deep_the_folder_lies(tmp_path: Path, depth: int) -> None:
    folder = tmp_path.joinpath(*["d" * 100] * depth)
    folder.mkdir(parents=True, exist_ok=True)
    ours, theirs = BellBoard(folder / "readers"), BellBoard(folder / "readers")
    bell = ours.hang("a")
    assert (folder / "readers" / "a").is_socket()
    assert theirs.ring(["a"]) == []
    assert readable(bell)
    bell.close()
    ours.close()
    theirs.close()


def test_a_folder_is_private(tmp_path: Path, board: BellBoard) -> None:
    assert (tmp_path / "readers").stat().st_mode & 0o777 == 0o700


def test_who_was_killed_is_dead_and_who_was_stopped_is_not(tmp_path: Path, board: BellBoard) -> None:
    command = [sys.executable, "-c", HANGER, str(tmp_path / "readers")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "hung\n"
        assert not board.is_dead("other")
        other.send_signal(signal.SIGSTOP)
        assert not board.is_dead("other")
        other.kill()
    assert board.is_dead("other")
    assert board.ring(["other"]) == ["other"]
    assert not (tmp_path / "readers" / "other").exists()
    assert board.is_dead("other")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(BusError, match=r"readers \(Read-only file system\): name a home"):
        BellBoard(tmp_path / "readers")


def test_a_folder_that_takes_no_sockets_is_named(tmp_path: Path) -> None:
    board = BellBoard(tmp_path / "readers")
    (tmp_path / "readers" / "a").touch()
    with pytest.raises(BusError, match=r"no socket can be bound in .*readers"):
        board.hang("a")
    board.close()
