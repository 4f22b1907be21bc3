"""Logs of a run while it writes them: what grows, what is not there yet, what is cut in its middle."""

from __future__ import annotations

from pathlib import Path

from modelpress.client.following import LogTails
from modelpress.engine.state import RunState, RunStatus, StepState, StepStatus
from modelpress.pipeline.plan import Plan, PlannedStep


def running(**steps: StepStatus) -> RunState:
    planned = tuple(PlannedStep(id=step_id, uses="a/b", version=1) for step_id in steps)
    states = {step_id: StepState(id=step_id, status=status) for step_id, status in steps.items()}
    plan = Plan(name="p", inputs={}, steps=planned, outputs={})
    return RunState(run_id="r", plan=plan, status=RunStatus.RUNNING, steps=states)


def tails(folder: Path, *steps: str) -> tuple[LogTails, list[tuple[str, str]]]:
    told: list[tuple[str, str]] = []
    return LogTails(folder, steps, lambda step, text: told.append((step, text))), told


def test_what_a_running_step_adds_is_told_once(tmp_path: Path) -> None:
    tail, told = tails(tmp_path, "a", "b")
    tail.become(running(a=StepStatus.RUNNING, b=StepStatus.WAITING))
    assert told == [], "nothing is there yet"
    (tmp_path / "a.log").write_text("one\n")
    tail.look()
    tail.look()
    with (tmp_path / "a.log").open("a") as log:
        log.write("two")
    tail.look()
    assert told == [("a", "one\n"), ("a", "two")]


def test_what_a_step_wrote_last_is_told_when_it_has_ended(tmp_path: Path) -> None:
    tail, told = tails(tmp_path, "a")
    tail.become(running(a=StepStatus.RUNNING))
    (tmp_path / "a.log").write_text("last words")
    tail.become(running(a=StepStatus.SUCCEEDED))
    assert told == [("a", "last words")]


def test_a_letter_that_was_half_written_is_told_whole(tmp_path: Path) -> None:
    tail, told = tails(tmp_path, "a")
    tail.become(running(a=StepStatus.RUNNING))
    for part in (b"caf\xc3", b"\xa9"):
        with (tmp_path / "a.log").open("ab") as log:
            log.write(part)
        tail.look()
    assert "".join(text for _, text in told) == "café"


def test_a_log_that_was_cut_goes_on_at_its_end(tmp_path: Path) -> None:
    tail, told = tails(tmp_path, "a")
    tail.become(running(a=StepStatus.RUNNING))
    (tmp_path / "a.log").write_text("x" * 100)
    tail.look()
    (tmp_path / "a.log").write_text("x" * 10)
    tail.look()
    with (tmp_path / "a.log").open("a") as log:
        log.write("after")
    tail.look()
    assert [text for _, text in told[1:]] == ["--- a.log was cut in its middle\n", "after"]


def test_logs_of_steps_that_were_not_asked_for_are_not_told(tmp_path: Path) -> None:
    tail, told = tails(tmp_path, "b")
    for step in ("a", "b"):
        (tmp_path / f"{step}.log").write_text(step)
    tail.become(running(a=StepStatus.RUNNING, b=StepStatus.SUCCEEDED))
    assert told == [("b", "b")]
