"""Processes that die at a bad moment: the run is continued, and what was finished is not done again."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from modelpress.engine.driver import Engine
from modelpress.engine.events import Event, StepInterrupted, StepProgressed
from modelpress.engine.fold import MAX_DEATHS
from modelpress.engine.state import RunStatus, StepStatus
from modelpress.pipeline.plan import Plan
from tests.integration.homes import Toys, drive_apart, is_gone, open_engine, plan, wait_until, worker_of


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def toys(tmp_path: Path) -> Toys:
    return Toys(tmp_path)


def submit(root: Path, plan: Plan) -> str:
    with open_engine(root) as engine:
        return engine.submit(plan, {})


@pytest.fixture
def undisturbed(tmp_path: Path) -> Iterator[Engine]:
    with open_engine(tmp_path / "other-home") as engine:
        yield engine


def kill(process: subprocess.Popen[bytes], number: int) -> int:
    """Signal the whole group, as a terminal's Ctrl-C does, and wait."""
    os.killpg(process.pid, number)
    return process.wait(timeout=60)


def test_a_killed_engine_is_continued_by_the_next(root: Path, toys: Toys, undisturbed: Engine) -> None:
    waiting: dict[str, Any] = {"wait_for": str(toys.release)}
    run_id = submit(root, toys.diamond(c=waiting))
    with drive_apart(root, run_id) as process:
        wait_until(lambda: "c" in toys.executed(), "step c runs")
        process.send_signal(signal.SIGKILL)
    with open_engine(root) as engine:
        assert engine.get(run_id).steps["c"].status is StepStatus.RUNNING
        toys.release.touch()
        state = engine.drive(run_id)
    assert state.status is RunStatus.SUCCEEDED
    assert toys.executed() == ["a", "b", "c", "c", "d"]
    assert undisturbed.drive(undisturbed.submit(toys.diamond(c=waiting), {})).outputs == state.outputs


def test_a_killed_engine_takes_its_child_along(root: Path, toys: Toys) -> None:
    never = {"wait_for": str(toys.release)}
    run_id = submit(root, toys.diamond(a=never))
    with drive_apart(root, run_id) as process:
        wait_until(lambda: toys.executed() == ["a"], "step a runs")
        child = worker_of(process.pid)
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: is_gone(child), "the child is gone")


def test_a_killed_engine_takes_what_a_kernel_started_along(root: Path, toys: Toys) -> None:
    run_id = submit(root, plan(toys.step("a", "spawn")))
    with drive_apart(root, run_id) as process:
        wait_until(lambda: bool(toys.executed()), "the kernel started a process")
        started = int(toys.executed()[0])
        assert not is_gone(started)
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: is_gone(started), "it is gone")


def _has_executed(toys: Toys, names: list[str]) -> bool:
    return toys.executed() == names


def test_another_process_takes_over_a_home_at_once(root: Path, toys: Toys) -> None:
    run_id = submit(root, toys.diamond(b={"wait_for": str(toys.release)}))
    for begun in (["a", "b"], ["a", "b", "b"]):
        with drive_apart(root, run_id) as process:
            wait_until(partial(_has_executed, toys, begun), "step b runs")
            process.send_signal(signal.SIGKILL)
    toys.release.touch()
    with drive_apart(root, run_id) as process:
        assert process.wait(timeout=60) == 0
    assert toys.executed() == ["a", "b", "b", "b", "c", "d"]


def test_ctrl_c_cancels_the_run_and_a_resume_goes_on(root: Path, toys: Toys) -> None:
    run_id = submit(root, toys.diamond(c={"wait_for": str(toys.release)}))
    with drive_apart(root, run_id) as process:
        wait_until(lambda: "c" in toys.executed(), "step c runs")
        assert kill(process, signal.SIGINT) == 130
    toys.release.touch()
    with open_engine(root) as engine:
        cancelled = engine.get(run_id)
        assert cancelled.status is RunStatus.CANCELLED
        assert cancelled.steps["c"].status is StepStatus.CANCELLED
        resumed = engine.drive(engine.resume(run_id))
        assert engine.get(run_id) == cancelled
    assert resumed.status is RunStatus.SUCCEEDED
    assert toys.executed() == ["a", "b", "c", "c", "d"]


def test_a_cancel_from_another_process_stops_the_driver(root: Path, toys: Toys) -> None:
    run_id = submit(root, toys.diamond(c={"wait_for": str(toys.release)}))
    with drive_apart(root, run_id) as process, open_engine(root) as engine:
        wait_until(lambda: "c" in toys.executed(), "step c runs")
        assert engine.cancel(run_id).status is RunStatus.CANCELLED
        assert process.wait(timeout=60) == 0
        assert engine.get(run_id).steps["d"].status is StepStatus.CANCELLED


def test_a_killed_child_is_replaced_and_its_step_done_again(root: Path, toys: Toys, undisturbed: Engine) -> None:
    waiting = {"wait_for": str(toys.release)}
    with open_engine(root) as engine:
        run_id = engine.submit(toys.diamond(b=waiting), {})
        events: list[Event] = []

        def kill_child_of_b(event: Event) -> None:
            events.append(event)
            if isinstance(event, StepProgressed) and event.step_id == "b" and not toys.release.exists():
                worker = worker_of(os.getpid())
                os.kill(worker, signal.SIGKILL)
                wait_until(lambda: is_gone(worker), "the child is gone")
                toys.release.touch()

        state = engine.drive(run_id, kill_child_of_b)
        assert state.status is RunStatus.SUCCEEDED
        assert state.steps["b"].attempt == 2
        (interrupted,) = [event for event in events if isinstance(event, StepInterrupted)]
        assert "killed by SIGKILL" in interrupted.reason
        assert "killed by SIGKILL" in engine.logs(run_id, "b")
    assert sorted(toys.executed()) == ["a", "b", "b", "c", "d"]
    assert undisturbed.drive(undisturbed.submit(toys.diamond(b=waiting), {})).outputs == state.outputs


def test_training_goes_on_from_its_checkpoint(root: Path, toys: Toys, undisturbed: Engine) -> None:
    counting = plan(toys.step("n", "count", wait_for=str(toys.release)))
    run_id = submit(root, counting)
    with drive_apart(root, run_id) as process:
        wait_until(lambda: toys.executed() == ["n:0", "n:1"], "two epochs are done")
        process.send_signal(signal.SIGKILL)
    toys.release.touch()
    with open_engine(root) as engine:
        state = engine.drive(run_id)
        assert engine.store.slots.load(state.steps["n"].key) is None
    # At most one epoch is redone: the kill may fall between the epoch's line and its checkpoint.
    assert [line for line in toys.executed() if line != "n:1"] == ["n:0", "n:2", "n:3"]
    assert toys.executed().count("n:1") <= 2
    assert undisturbed.drive(undisturbed.submit(counting, {})).outputs == state.outputs


@pytest.mark.parametrize(("fault", "told"), [("death", "killed by SIGKILL"), ("exit", "ended with code 3")])
def test_a_step_that_kills_its_worker_is_given_up(root: Path, toys: Toys, fault: str, told: str) -> None:
    with open_engine(root) as engine:
        state = engine.drive(engine.submit(toys.diamond(b={"fault": fault}), {}))
    assert state.status is RunStatus.FAILED
    assert "3 workers died with it" in state.error
    assert told in state.error
    assert [name for name in toys.executed() if name != "c"] == ["a"] + ["b"] * MAX_DEATHS
