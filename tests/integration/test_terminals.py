"""Several terminals on one home: real processes of the command line, some of them killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelpress.engine.home import Home
from tests.integration.homes import is_gone, wait_until, worker_of
from tests.unit.cli.homes import send_garbage
from tests.unit.cli.terminal import toys_pipeline, toys_plugin

COMMAND = "from modelpress.cli.main import main; main()"
INTERRUPTED = 130


class Terminal:
    """A command that runs, in a process group of its own as a shell gives; what it prints is in files."""

    def __init__(self, desk: Desk, number: int, words: tuple[str, ...]) -> None:
        self._out, self._err = (desk.folder / f"{number}.{stream}" for stream in ("out", "err"))
        with open(self._out, "wb") as out, open(self._err, "wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-c", COMMAND, *words],
                cwd=desk.folder,
                env=desk.environment,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def tells(self, text: str) -> None:
        """Wait until it said ``text``."""
        wait_until(lambda: text in self.err + self.out or self.process.poll() is not None, f"'{text}' is told")
        assert text in self.err + self.out

    def ends(self, code: int) -> str:
        """Wait for its end with ``code``; all that it printed."""
        wait_until(lambda: self.process.poll() is not None, "the command ends")
        assert self.process.returncode == code, self.err
        return self.err + self.out

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Desk:
    """A user's folder with a home, pipelines of toys, and terminals."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.journal = folder / "journal"
        self.release = folder / "release"
        self.terminals: list[Terminal] = []
        places = {"MODELPRESS_HOME": str(self.home), "PYTHONPATH": str(toys_plugin(folder)), "MODELPRESS_THREADS": "1"}
        self.environment = {**os.environ, **places}

    def open(self, *words: str) -> Terminal:
        self.terminals.append(Terminal(self, len(self.terminals), words))
        return self.terminals[-1]

    def json(self, *words: str) -> Any:
        return json.loads(self.open(*words, "--json").ends(0))

    def pipeline(self, name: str, last: str = "") -> str:
        """A file: ``slow``, which waits for `release` and is the same in all, and after it ``last``."""
        common = f"journal: {self.journal}, wait_for: {self.release}"
        steps = f"  - {{id: slow, uses: toys/emit, with: {{name: slow, {common}}}}}\n"
        copied = f"name: {last or name}, journal: {self.journal}"
        steps += f"  - {{id: last, uses: toys/copy, inputs: {{source: slow.report}}, with: {{{copied}}}}}"
        return str(toys_pipeline(self.folder, name, steps))

    def started(self) -> list[str]:
        """Names of the steps that began, in order."""
        return self.journal.read_text().split() if self.journal.exists() else []

    def driver(self) -> int | None:
        return Home(self.home).driver_pid()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    for terminal in desk.terminals:
        if terminal.process.poll() is None:
            terminal.kill()


def run_id(terminal: Terminal) -> str:
    """Of the run that a terminal follows."""
    terminal.tells("steps\n")
    return terminal.err.split()[1].rstrip(":")


def test_one_drives_two_follow_and_the_next_takes_over_when_it_is_killed(desk: Desk) -> None:
    first = desk.open("run", desk.pipeline("one"))
    first.tells("slow: running")
    second = desk.open("run", desk.pipeline("two"))
    second.tells(f"process {first.pid} drives this home")
    second.tells(f"slow: ready, waits for {run_id(first)}/slow")
    watching = desk.open("watch", run_id(second))
    watching.tells(f"process {first.pid} drives this home")
    wait_until(lambda: desk.started() == ["slow"], "the step runs")
    orphan = worker_of(first.pid)
    first.kill()
    wait_until(lambda: desk.driver() == second.pid, "the second drives")
    wait_until(lambda: is_gone(orphan), "the worker of the first is gone")
    watching.tells(f"process {second.pid} drives this home")
    desk.release.touch()
    assert "last: succeeded" in second.ends(0)
    assert "last: succeeded" in watching.ends(0)
    desk.open("resume", run_id(first)).ends(0)
    assert {state["status"] for state in desk.json("list")} == {"succeeded"}
    assert sorted(desk.started()) == ["one", "slow", "slow", "two"], "what was running when it was killed ran again"


def test_a_killed_run_is_gone_on_with_by_the_same_command(desk: Desk) -> None:
    first = desk.open("run", desk.pipeline("one"))
    first.tells("slow: running")
    first.kill()
    desk.release.touch()
    again = desk.open("run", str(desk.folder / "one.yaml"))
    assert run_id(again) == run_id(first)
    again.ends(0)
    assert [state["status"] for state in desk.json("list")] == ["succeeded"]


def test_ctrl_c_ends_a_run_that_another_terminal_drives_and_nothing_else(desk: Desk) -> None:
    first = desk.open("run", desk.pipeline("one"))
    first.tells("slow: running")
    second = desk.open("run", desk.pipeline("two"))
    second.tells("waits for")
    watching = desk.open("watch", "last")
    watching.tells("drives this home")
    watching.interrupt()
    assert f"modelpress cancel {run_id(second)}" in watching.ends(INTERRUPTED)
    second.interrupt()
    assert f"modelpress resume {run_id(second)}" in second.ends(INTERRUPTED)
    assert desk.json("get", run_id(second))["status"] == "cancelled"
    desk.release.touch()
    assert "last: succeeded" in first.ends(0)


def test_cancel_from_another_terminal_ends_the_run_where_it_is_driven(desk: Desk) -> None:
    first = desk.open("run", desk.pipeline("one"))
    first.tells("slow: running")
    wait_until(lambda: desk.started() == ["slow"], "the step runs")
    cancelled = desk.open("cancel", "last").ends(0)
    assert f"run {run_id(first)} is cancelled" in cancelled
    assert f"modelpress resume {run_id(first)}" in cancelled
    assert "cancelled" in first.ends(1)
    assert "has ended already" in desk.open("cancel", "last").ends(0)


def test_what_nothing_drives_is_said_and_done_when_something_does(desk: Desk) -> None:
    desk.release.touch()
    submitted = desk.open("submit", desk.pipeline("one")).ends(0)
    assert "nothing drives this home" in submitted
    watching = desk.open("watch", "last")
    watching.tells("nothing drives this home: modelpress resume")
    logs = desk.open("logs", "--follow", "last")
    logs.tells("nothing drives this home: modelpress resume")
    send_garbage(desk.home)
    assert "last: succeeded" in desk.open("resume", "last").ends(0)
    assert "last: succeeded" in watching.ends(0)
    printed = logs.ends(0)
    assert [letter["topic"] for letter in desk.json("dead-letters")] == ["events"], "who follows passes over it"
    assert "--- slow\nslow writes to standard output\nslow works\n" in printed
    assert printed.index("--- slow") < printed.index("--- last")


def test_logs_are_followed_while_a_step_writes_them(desk: Desk) -> None:
    desk.open("run", desk.pipeline("one")).tells("slow: running")
    logs = desk.open("logs", "-f", "last", "slow")
    logs.tells("slow works")
    assert logs.process.poll() is None
    logs.interrupt()
    assert "the run goes on" in logs.ends(INTERRUPTED)
    desk.release.touch()
    desk.terminals[0].ends(0)
