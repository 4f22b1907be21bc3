"""The child as a process."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from modelpress.worker.process import ChildDiedError, ChildProcess
from modelpress.worker.protocol import Hello, Reply

DEADLINE_S = 60.0


def next_reply(child: ChildProcess) -> Reply:
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        reply = child.receive(0.1)
        if reply is not None:
            return reply
    raise AssertionError("the child says nothing")


def test_a_warm_child_says_what_it_is(tmp_path: Path) -> None:
    with ChildProcess(1, ("numpy", "torch"), tmp_path / "log") as child:
        hello = next_reply(child)
    assert isinstance(hello, Hello)
    assert hello.worker.keys() == {"python", "torch", "instruction_set"}


def test_a_child_that_cannot_start_says_why(tmp_path: Path) -> None:
    with (
        ChildProcess(1, ("no_such_module",), tmp_path / "log") as child,
        pytest.raises(ChildDiedError, match="ended with code 1: ModuleNotFoundError: No module named 'no_such_module'"),
    ):
        next_reply(child)


def test_a_killed_child_is_told_by_its_signal(tmp_path: Path) -> None:
    with ChildProcess(1, (), tmp_path / "log") as child:
        next_reply(child)
        os.kill(child.pid, signal.SIGTERM)
        with pytest.raises(ChildDiedError, match="was killed by SIGTERM") as death:
            next_reply(child)
    assert death.value.returncode == -signal.SIGTERM
    assert death.value.retryable


def test_ctrl_c_of_the_terminal_does_not_end_it(tmp_path: Path) -> None:
    with ChildProcess(1, (), tmp_path / "log") as child:
        next_reply(child)
        os.kill(child.pid, signal.SIGINT)
        assert child.receive(0.2) is None


def test_killing_twice_is_fine(tmp_path: Path) -> None:
    child = ChildProcess(1, (), tmp_path / "log")
    child.kill()
    child.kill()


def test_a_file_of_the_users_folder_is_no_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('imported from the working folder')")
    monkeypatch.chdir(tmp_path)
    with ChildProcess(1, (), tmp_path / "log") as child:
        assert isinstance(next_reply(child), Hello)
