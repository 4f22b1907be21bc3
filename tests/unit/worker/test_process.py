"""The child as a process."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from modelpress.catalogue import Kind
from modelpress.worker.process import ChildDiedError, ChildProcess
from modelpress.worker.protocol import (
    MAX_WORDS,
    Done,
    Failed,
    Log,
    Reply,
    StepRequest,
    StoreAddress,
    parse_reply,
    to_line,
)
from tests.integration.homes import is_gone, wait_until

DEADLINE_S = 60.0
HANG_PARAMS = "modelpress.testing.toys:HangParams"


def replies_until(child: ChildProcess, condition: Callable[[list[Reply]], bool]) -> list[Reply]:
    """What it says until ``condition`` holds, polled as its parent does."""
    deadline_s = time.monotonic() + DEADLINE_S
    replies: list[Reply] = []
    while not condition(replies):
        assert time.monotonic() < deadline_s, f"the child said only {replies}"
        select.select([child], [], [], 0.02)
        child.flush()
        replies += child.receive()
    return replies


def warmed(child: ChildProcess) -> ChildProcess:
    replies_until(child, lambda replies: child.facts is not None)
    return child


def open_writing_end(child: ChildProcess) -> int:
    """The end of its pipe that the child writes to."""
    return os.open(f"/proc/self/fd/{child.fileno()}", os.O_WRONLY)


def request(tmp_path: Path, kernel: str, **params: object) -> StepRequest:
    return StepRequest(
        store=StoreAddress(root=str(tmp_path / "store"), tenant="default", durability="process"),
        key="0" * 64,
        run=kernel,
        params_type="modelpress.testing.toys:ToyParams",
        params={"name": "a", "journal": str(tmp_path / "journal"), **params},
        inputs={},
        outputs={"report": Kind.REPORT},
        metrics=("value",),
        seed=1,
        threads=1,
        log_path=str(tmp_path / "step.log"),
    )


def journal(tmp_path: Path) -> str:
    path = tmp_path / "journal"
    return path.read_text() if path.exists() else ""


def last_of(child: ChildProcess) -> Reply:
    return replies_until(child, lambda replies: any(isinstance(r, Done | Failed) for r in replies))[-1]


def test_a_warm_child_says_what_it_is(tmp_path: Path) -> None:
    with ChildProcess(("numpy", "torch"), tmp_path / "log") as child:
        assert child.facts is None
        warmed(child)
        assert child.facts is not None
        assert child.facts.keys() == {"python", "torch", "instruction_set"}
        assert child.rss_bytes() >= child.warm_rss_bytes > 50 * 10**6


def test_a_step_is_done(tmp_path: Path) -> None:
    with ChildProcess((), tmp_path / "log") as child:
        child.send(request(tmp_path, "modelpress.testing.toys:emit"))
        assert isinstance(last_of(child), Done)


def test_a_request_larger_than_the_pipe_does_not_block(tmp_path: Path) -> None:
    name = "n" * 10**6
    with ChildProcess((), tmp_path / "log") as child:
        child.send(request(tmp_path, "modelpress.testing.toys:emit", name=name))
        assert child.sending
        replies = replies_until(child, lambda replies: any(isinstance(r, Done) for r in replies))
        assert not child.sending
    assert [r.text for r in replies if isinstance(r, Log)] == [f"{name} works"]


def test_a_child_that_cannot_start_says_why(tmp_path: Path) -> None:
    with (
        ChildProcess(("no_such_module",), tmp_path / "log") as child,
        pytest.raises(ChildDiedError, match="ended with code 1: ModuleNotFoundError: No module named 'no_such_module'"),
    ):
        warmed(child)


def test_a_killed_child_is_told_by_its_signal(tmp_path: Path) -> None:
    with ChildProcess((), tmp_path / "log") as child:
        os.kill(warmed(child).pid, signal.SIGTERM)
        with pytest.raises(ChildDiedError, match="was killed by SIGTERM") as death:
            replies_until(child, bool)
        child.send(request(tmp_path, "modelpress.testing.toys:emit"))
    assert death.value.returncode == -signal.SIGTERM
    assert child.rss_bytes() == 0


def test_a_death_is_told_although_something_holds_the_pipe_open(tmp_path: Path) -> None:
    with ChildProcess((), tmp_path / "log") as child:
        writing = open_writing_end(warmed(child))
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(ChildDiedError, match="was killed by SIGKILL"):
            replies_until(child, bool)
        os.close(writing)


def test_what_is_no_reply_ends_the_child(tmp_path: Path) -> None:
    with ChildProcess((), tmp_path / "log") as child:
        writing = open_writing_end(warmed(child))
        os.write(writing, b"no reply\n")
        os.close(writing)
        with pytest.raises(ChildDiedError, match="said what is no reply"):
            replies_until(child, bool)


def test_ctrl_c_of_the_terminal_does_not_end_it(tmp_path: Path) -> None:
    with ChildProcess((), tmp_path / "log") as child:
        os.kill(warmed(child).pid, signal.SIGINT)
        child.send(request(tmp_path, "modelpress.testing.toys:emit"))
        assert isinstance(last_of(child), Done)


def test_what_a_kernel_started_ends_with_it(tmp_path: Path) -> None:
    spawn = request(tmp_path, "modelpress.testing.toys:spawn").model_copy(update={"params_type": HANG_PARAMS})
    with ChildProcess((), tmp_path / "log") as child:
        child.send(spawn)
        wait_until(lambda: bool(journal(tmp_path)), "the kernel started a process")
        started = int(journal(tmp_path))
        assert not is_gone(started)
    wait_until(lambda: is_gone(started), "it ended")


def test_words_that_no_record_can_hold_are_written_out_and_cut() -> None:
    failed = Failed(fault="kernel", message="\udcff" + "x" * 10**6)
    assert failed.message == "\\udcff" + "x" * (MAX_WORDS - 6) + " [...]"
    assert parse_reply(to_line(failed)) == failed
    assert parse_reply(to_line(Log(text="\udcff"))) == Log(text="\\udcff")


def test_killing_twice_is_fine(tmp_path: Path) -> None:
    child = ChildProcess((), tmp_path / "log")
    child.kill()
    child.kill()


def test_a_file_of_the_users_folder_is_no_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('imported from the working folder')")
    monkeypatch.chdir(tmp_path)
    with ChildProcess((), tmp_path / "log") as child:
        warmed(child)
