"""What is said of each step while a run goes on."""

from __future__ import annotations

import io

from rich.console import Console

from modelpress.client.display import LiveDisplay, PlainDisplay, display, steps_table
from modelpress.client.timeline import Progress, advance, detail, lines
from modelpress.engine.events import Event, StepFailed, StepProgressed, StepStarted, StepSucceeded
from modelpress.engine.state import RunState, RunStatus, StepState, StepStatus
from tests.unit.report.samples import START_S, run_state

RUN = "20231114-221320-ab12"


def fresh() -> RunState:
    state = run_state(status=RunStatus.RUNNING, outputs={}, ended_s=0.0)
    return state.model_copy(
        update={"steps": {name: StepState(id=name, attempt=1, issued=True) for name in state.steps}}
    )


def started(step: str, at_s: float) -> Event:
    return StepStarted(run_id=RUN, at_s=at_s, step_id=step, attempt=1, key="0" * 64)


def progressed(step: str, at_s: float, done: float, **metrics: float) -> Event:
    return StepProgressed(
        run_id=RUN, at_s=at_s, step_id=step, attempt=1, stage="train", done=done, total=8, metrics=metrics
    )


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


def test_lines_follow_the_pipeline() -> None:
    state = fresh()
    assert [line.id for line in lines(state, {}, START_S)] == [step.id for step in state.plan.steps]


def test_plain_lines_tell_starts_ends_and_little_between() -> None:
    stream = io.StringIO()
    with PlainDisplay(fresh(), stream) as shown:
        shown.on_event(started("slim", START_S))
        for i in range(20):
            shown.on_event(progressed("slim", START_S + 1 + i, 1 + i / 4, loss=1 / (i + 1)))
        metrics = {"top1": 71.2}
        outputs = {"model": "sha256:" + "0" * 64}
        shown.on_event(
            StepSucceeded(
                run_id=RUN, at_s=START_S + 25, step_id="slim", attempt=1, key="0" * 64, outputs=outputs, metrics=metrics
            )
        )
    told = stream.getvalue().splitlines()
    assert told[0].startswith(f"run {RUN}: joint")
    assert told[1] == "  slim: running"
    assert told[-1] == "  slim: succeeded in 25 s, top1 71.20 %"
    assert len(told) == 4, "a start, one word after a quarter of a minute, an end"


def test_events_of_other_runs_are_not_told() -> None:
    stream = io.StringIO()
    with PlainDisplay(fresh(), stream) as shown:
        shown.on_event(started("slim", START_S).model_copy(update={"run_id": "another"}))
    assert len(stream.getvalue().splitlines()) == 1


def test_an_error_is_one_line() -> None:
    stream = io.StringIO()
    with PlainDisplay(fresh(), stream) as shown:
        shown.on_event(started("slim", START_S))
        shown.on_event(StepFailed(run_id=RUN, at_s=START_S + 2, step_id="slim", attempt=1, error="no memory\nmore"))
    assert stream.getvalue().splitlines()[-1] == "  slim: failed in 2.0 s, no memory"


def test_the_live_table_shows_every_step() -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    state = fresh()
    console.print(steps_table(state, lines(state, {}, START_S + 5), START_S + 5))
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(step.id in drawn for step in state.plan.steps)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_the_table_and_a_pipe_gets_lines() -> None:
    assert isinstance(display(fresh(), Terminal()), LiveDisplay)
    assert isinstance(display(fresh(), io.StringIO()), PlainDisplay)


def test_the_live_display_draws_until_it_is_closed() -> None:
    stream = Terminal()
    with LiveDisplay(fresh(), stream) as shown:
        shown.on_event(started("slim", START_S))
        shown.on_event(progressed("slim", START_S + 1, 3, loss=0.5))
    assert "epoch 3/8" in stream.getvalue()
