"""What is said of each step while a run goes on."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import pytest
from rich.console import Console

from modelpress.client import display as shown_by
from modelpress.client.display import LiveDisplay, PlainDisplay, display, steps_table
from modelpress.client.timeline import Progress, advance, detail, lines, telling_steps
from modelpress.engine.events import Event, StepProgressed
from modelpress.engine.state import RunState, RunStatus, StepState, StepStatus
from modelpress.pipeline.plan import Plan, PlannedStep

RUN = "20231114-221320-ab12"
START_S = 1_700_000_000.0


def fresh() -> RunState:
    """A run whose steps wait."""
    return waiting_run("joint", ("slim", "recover", "int8"))


def waiting_run(name: str, ids: Iterable[str]) -> RunState:
    planned = tuple(PlannedStep(id=step_id, uses="a/b", version=1) for step_id in ids)
    steps = {step.id: StepState(id=step.id, attempt=1) for step in planned}
    plan = Plan(name=name, inputs={}, steps=planned, outputs={})
    return RunState(
        run_id=RUN, plan=plan, status=RunStatus.RUNNING, steps=steps, open_steps=len(steps), submitted_s=START_S
    )


def changed(run: RunState, step: str, **changes: Any) -> RunState:
    return run.model_copy(update={"steps": {**run.steps, step: run.steps[step].model_copy(update=changes)}})


def wide(count: int) -> RunState:
    return waiting_run("wide", (f"s{number}" for number in range(count)))


def progressed(step: str, at_s: float, done: float, **metrics: float) -> Event:
    return StepProgressed(
        run_id=RUN, at_s=at_s, step_id=step, attempt=1, stage="train", done=done, total=8, metrics=metrics
    )


class Clock:
    def __init__(self) -> None:
        self.now_s = START_S

    def time(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(shown_by, "time", clock)
    return clock


def test_time_left_is_the_pace_since_the_stage_began() -> None:
    first = advance(None, Progress("train", 2, 8, at_s=100))
    assert first.left_s() is None
    assert advance(first, Progress("train", 4, 8, at_s=110)).left_s() == 20
    other = advance(first, Progress("check", 1, 4, at_s=120))
    assert other.left_s() is None, "another stage has another pace"


def test_a_steps_own_estimate_goes_before_ours() -> None:
    word = Progress("train", 4, 8, {"loss": 0.5, "seconds_left": 33.0}, at_s=110, first_s=100, first_done=2)
    assert word.left_s() == 33
    assert detail(StepState(id="x", status=StepStatus.RUNNING), word) == "epoch 4/8, loss 0.5000"


def test_a_finished_step_shows_its_most_telling_metrics() -> None:
    state = StepState(
        id="x", status=StepStatus.SUCCEEDED, metrics={"loss": 0.3, "reference_top1": 92.0, "top1": 91.0}, cached=True
    )
    assert detail(state, None) == "from cache  top1 91.00 %, loss 0.3000"


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (StepState(id="x"), ""),
        (StepState(id="x", status=StepStatus.READY, attempt=1), "waits for a place"),
        (StepState(id="x", status=StepStatus.READY, attempt=1, waits_for="r/train"), "waits for r/train"),
        (
            StepState(id="x", attempt=2, backoff_s=1.5, error="the disk was full\nmore"),
            "attempt 2 after a pause of 1.5 s: the disk was full",
        ),
        (
            StepState(id="x", status=StepStatus.READY, attempt=3, error="its process died"),
            "attempt 3 waits for a place: its process died",
        ),
        (StepState(id="x", status=StepStatus.RUNNING, attempt=2), "attempt 2"),
        (StepState(id="x", status=StepStatus.RUNNING, attempt=1), ""),
        (StepState(id="x", status=StepStatus.SKIPPED, error="top1 is 80"), "top1 is 80"),
    ],
)
def test_what_a_step_waits_for_is_told_with_its_reason(state: StepState, told: str) -> None:
    assert detail(state, None) == told


def test_lines_follow_the_pipeline() -> None:
    state = fresh()
    assert [line.id for line in lines(state, {}, START_S)] == [step.id for step in state.plan.steps]


def test_of_many_steps_those_that_tell_most_are_shown_in_file_order() -> None:
    run = wide(1000)
    run = changed(run, "s900", status=StepStatus.RUNNING)
    run = changed(run, "s10", status=StepStatus.FAILED)
    run = changed(run, "s500", status=StepStatus.READY, waits_for="r/x")
    run = changed(run, "s3", status=StepStatus.SUCCEEDED, ended_s=5.0)
    run = changed(run, "s2", status=StepStatus.SUCCEEDED, ended_s=6.0)
    assert telling_steps(run, 4) == ["s2", "s10", "s500", "s900"]


def test_a_table_that_does_not_fit_says_what_is_not_shown() -> None:
    run = changed(wide(1000), "s7", status=StepStatus.RUNNING)
    console = Console(file=io.StringIO(), width=100)
    console.print(steps_table(run, lines(run, {}, START_S, 20), START_S, "process 7 drives this home"))
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    assert "… 980 more: 980 waiting" in drawn
    assert "process 7 drives this home" in drawn
    assert drawn.count("\n") == 23


def test_plain_lines_tell_starts_ends_and_little_between(clock: Clock) -> None:
    stream = io.StringIO()
    run = fresh()
    with PlainDisplay(run, stream) as shown:
        shown.on_state(run := changed(run, "slim", status=StepStatus.READY))
        shown.on_state(run := changed(run, "slim", status=StepStatus.RUNNING, started_s=START_S))
        for i in range(20):
            shown.on_event(progressed("slim", START_S + 1 + i, 1 + i / 4, loss=1 / (i + 1)))
        ended = {"status": StepStatus.SUCCEEDED, "ended_s": START_S + 25, "metrics": {"top1": 71.2}}
        shown.on_state(changed(run, "slim", **ended))
    told = stream.getvalue().splitlines()
    assert told[0].startswith(f"run {RUN}: joint")
    assert told[1] == "  slim: running"
    assert told[-1] == "  slim: succeeded in 25 s, top1 71.20 %"
    assert len(told) == 4, "a start, one word after a quarter of a minute, an end"


def test_plain_lines_tell_pauses_attempts_and_other_runs(clock: Clock) -> None:
    stream = io.StringIO()
    run = fresh()
    with PlainDisplay(run, stream) as shown:
        shown.on_state(run := changed(run, "slim", status=StepStatus.READY, waits_for="other/slim"))
        shown.on_state(run := changed(run, "slim", status=StepStatus.RUNNING, waits_for=""))
        again = {"status": StepStatus.WAITING, "attempt": 2, "backoff_s": 0.8, "error": "no space"}
        shown.on_state(run := changed(run, "slim", **again))
        shown.on_state(run := changed(run, "slim", status=StepStatus.RUNNING, backoff_s=0.0))
        shown.on_state(run)
    assert stream.getvalue().splitlines()[1:] == [
        "  slim: ready, waits for other/slim",
        "  slim: running",
        "  slim: waiting, attempt 2 after a pause of 0.8 s: no space",
        "  slim: running, attempt 2",
    ]


def test_plain_lines_begin_with_what_was_so_before_anybody_looked(clock: Clock) -> None:
    stream = io.StringIO()
    run = changed(fresh(), "slim", status=StepStatus.READY, waits_for="other/slim")
    with PlainDisplay(run, stream) as shown:
        shown.on_state(run)
        shown.on_state(run)
    assert stream.getvalue().splitlines()[1:] == ["  slim: ready, waits for other/slim"]


def test_plain_lines_tell_after_a_while_that_steps_wait_for_a_place(clock: Clock) -> None:
    stream = io.StringIO()
    run = fresh()
    with PlainDisplay(run, stream) as shown:
        run = changed(changed(run, "slim", status=StepStatus.READY), "int8", status=StepStatus.READY)
        shown.on_state(run)
        clock.now_s += 20
        shown.on_state(run)
        shown.on_state(run)
    assert stream.getvalue().splitlines()[1:] == ["  2 steps wait for a place"]


def test_who_drives_is_told_when_it_changes() -> None:
    stream = io.StringIO()
    notes = iter(["process 7 drives this home", "process 7 drives this home", "nothing drives this home"])
    with PlainDisplay(fresh(), stream, lambda: next(notes)) as shown:
        for _ in range(3):
            shown.on_wait()
    assert stream.getvalue().splitlines()[1:] == ["process 7 drives this home", "nothing drives this home"]


def test_events_of_other_runs_are_not_told() -> None:
    stream = io.StringIO()
    with PlainDisplay(fresh(), stream) as shown:
        shown.on_event(progressed("slim", START_S, 3).model_copy(update={"run_id": "another"}))
    assert len(stream.getvalue().splitlines()) == 1


def test_an_error_is_one_line() -> None:
    stream = io.StringIO()
    run = changed(fresh(), "slim", status=StepStatus.RUNNING, started_s=START_S)
    with PlainDisplay(run, stream) as shown:
        failed = {"status": StepStatus.FAILED, "ended_s": START_S + 2, "error": "no memory\nmore"}
        shown.on_state(changed(run, "slim", **failed))
    assert stream.getvalue().splitlines()[-1] == "  slim: failed in 2.0 s, no memory"


def test_the_live_table_shows_every_step() -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    state = fresh()
    console.print(steps_table(state, lines(state, {}, START_S + 5), START_S + 5))
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(step.id in drawn for step in state.plan.steps)


def test_a_bar_stands_only_where_progress_is_known() -> None:
    state = changed(fresh(), "slim", status=StepStatus.RUNNING, started_s=START_S)
    console = Console(file=io.StringIO(), width=100)
    word = Progress("train", 4, 8)
    for known in ({}, {"slim": word}):
        console.print(steps_table(state, lines(state, known, START_S), START_S))
    without, beside = (row for row in console.file.getvalue().splitlines() if "slim" in row)  # type: ignore[attr-defined]
    assert "▸  slim     running  " in without
    assert "━━━━━━━╌╌╌╌╌╌╌" in beside


@pytest.mark.parametrize("cut", [True, False])
def test_a_narrow_terminal_keeps_ids_and_states_whole(cut: bool) -> None:
    state = changed(fresh(), "slim", status=StepStatus.FAILED, error="no space for " + "bytes, " * 30 + "the end")
    console = Console(file=io.StringIO(), width=60)
    console.print(steps_table(state, lines(state, {}, START_S), START_S, cut=cut))
    rows = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, rows)) <= 60
    assert next(row for row in rows if "slim" in row).startswith("✕  slim     failed")
    assert ("the end" in " ".join(" ".join(rows).split())) is not cut
    assert (len([row for row in rows if row.strip()]) == 1 + len(state.plan.steps)) is cut


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_the_table_and_a_pipe_gets_lines() -> None:
    assert isinstance(display(fresh(), Terminal()), LiveDisplay)
    assert isinstance(display(fresh(), io.StringIO()), PlainDisplay)


def test_the_live_display_draws_until_it_is_closed() -> None:
    stream = Terminal()
    run = fresh()
    with LiveDisplay(run, stream, lambda: "nothing drives this home") as shown:
        shown.on_state(changed(run, "slim", status=StepStatus.RUNNING, started_s=START_S))
        shown.on_event(progressed("slim", START_S + 1, 3, loss=0.5))
    assert "epoch 3/8" in stream.getvalue()
    assert "nothing drives this home" in stream.getvalue()
