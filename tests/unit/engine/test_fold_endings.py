"""How runs end before their time: failed steps, refusals, cancellation; and that what ended stays as it is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from modelpress.engine.events import CancelWork, DeadLetter, Event, Interruption, StepWithdrawn
from modelpress.engine.fold import Folded, fold
from modelpress.engine.state import RunStatus, StepStatus
from tests.unit.engine.builders import (
    RUN,
    Story,
    cancelled,
    failed,
    granted,
    interrupted,
    plan_of,
    pool_of,
    ready,
    retry_due,
    said,
    started,
    submission,
    succeeded,
)

CHAIN = plan_of({"a": [], "b": ["a"]})
WIDE = plan_of({"a": [], "b": [], "c": [], "d": [], "end": ["a", "b"]}, d={"worker_class": "gpu"})


def test_a_failed_step_fails_the_run_and_names_itself() -> None:
    story = Story(CHAIN, succeeded("a"), started("b"), failed("b"))
    assert story.state.status is RunStatus.FAILED
    assert story.state.error == "step 'b' failed: ValueError: no"
    assert story.state.outputs == {"a-out": "sha256:a"}


def test_a_failed_step_leaves_a_letter() -> None:
    (letter,) = said(Story(CHAIN, succeeded("a"), started("b"), failed("b")).words, DeadLetter)
    assert (letter.id, letter.topic, letter.key, letter.error) == ("r1-b-1", "steps.local", RUN, "ValueError: no")
    assert letter.command is not None
    assert (letter.command.step_id, letter.command.attempt) == ("b", 1)


def test_after_a_failure_nothing_starts_and_the_end_waits_for_what_runs() -> None:
    story = Story(WIDE, started("a"), granted("b"), started("c"))
    words = story.tell(failed("a"))
    assert said(words, StepWithdrawn) == [StepWithdrawn(pool=pool, run_id=RUN) for pool in ("gpu", "local")]
    assert said(words, CancelWork) == [CancelWork(run_id=RUN, step_id="b", attempt=1)], "granted but not claimed"
    assert (story.state.status, story.state.ending, story.state.open_steps) == (RunStatus.RUNNING, True, 1)
    assert story.statuses() == {
        "a": StepStatus.FAILED,
        "b": StepStatus.SKIPPED,
        "c": StepStatus.RUNNING,
        "d": StepStatus.SKIPPED,
        "end": StepStatus.SKIPPED,
    }
    assert story.tell(started("b"), succeeded("b")) == [], "its grant was taken back"
    assert story.tell(succeeded("c")) == []
    assert (story.state.status, story.state.outputs) == (RunStatus.FAILED, {"c-out": "sha256:c"})


@pytest.mark.parametrize("why", ["died", "expired", "retryable", "inputs", "released"])
def test_what_is_interrupted_after_a_failure_is_not_tried_again(why: Interruption) -> None:
    story = Story(WIDE, started("a"), started("c"), failed("a"))
    assert ready(story.tell(interrupted("c", why=why))) == []
    assert (story.step("c").status, story.state.status) == (StepStatus.CANCELLED, RunStatus.FAILED)


def test_a_step_that_pauses_when_another_fails_does_not_come_back() -> None:
    story = Story(WIDE, started("a"), started("c"), interrupted("c", why="retryable"), failed("a"))
    assert story.state.status is RunStatus.FAILED
    assert story.tell(retry_due("c", 2)) == []
    assert story.step("c").status is StepStatus.SKIPPED


def test_several_failures_are_all_named() -> None:
    story = Story(WIDE, started("a"), started("c"), failed("a"), failed("c"))
    assert story.state.error == "step 'a' failed: ValueError: no; step 'c' failed: ValueError: no"
    assert [letter.id for letter in said(story.words, DeadLetter)] == ["r1-a-1", "r1-c-1"]


def test_a_failure_counts_more_than_a_refusal() -> None:
    plan = plan_of({"a": [], "b": []}, gated="a")
    story = Story(plan, started("a"), started("b"), succeeded("a", drop=1.0), failed("b"))
    assert story.state.status is RunStatus.FAILED


def test_after_a_refusal_what_runs_may_end() -> None:
    plan = plan_of({"a": [], "b": [], "c": ["a", "b"]}, gated="a")
    story = Story(plan, started("a"), started("b"), succeeded("a", drop=1.0))
    assert (story.state.status, story.state.open_steps) == (RunStatus.RUNNING, 1)
    assert ready(story.tell(succeeded("b"))) == []
    assert story.state.status is RunStatus.REFUSED
    assert story.state.outputs == {"a-out": "sha256:a", "b-out": "sha256:b"}


STAGES: dict[str, Sequence[Event]] = {
    "offered": (),
    "granted": (granted("a"),),
    "running": (granted("a"), started("a")),
    "pausing": (started("a"), interrupted("a", why="retryable")),
    "between steps": (started("a"), succeeded("a")),
    "making an input again": (
        succeeded("a"),
        started("b"),
        interrupted("b", why="inputs", broken={"from-a": ("sha256:blob",)}),
    ),
}


@pytest.mark.parametrize("events", STAGES.values(), ids=STAGES)
def test_cancel_is_final_at_every_stage(events: Sequence[Event]) -> None:
    story = Story(CHAIN, *events)
    words = story.tell(cancelled())
    assert said(words, CancelWork) == [CancelWork(run_id=RUN)]
    assert ready(words) == []
    assert (story.state.status, story.state.ended_s, story.state.open_steps) == (RunStatus.CANCELLED, 9.0, 0)
    assert all(step.status.final for step in story.state.steps.values())
    late = [started(step, n) for step in "ab" for n in (1, 2)] + [succeeded(step, n) for step in "ab" for n in (1, 2)]
    for event in (*late, failed("a"), interrupted("a"), retry_due("a", 2), cancelled(), submission(CHAIN)):
        assert fold(story.state, event, pool_of) == Folded(story.state)


def test_cancel_withdraws_what_waits_for_a_place() -> None:
    words = Story(WIDE).tell(cancelled())
    assert said(words, StepWithdrawn) == [StepWithdrawn(pool=pool, run_id=RUN) for pool in ("gpu", "local")]


def test_cancel_keeps_the_outputs_that_there_are() -> None:
    story = Story(CHAIN, succeeded("a"), started("b"), cancelled())
    assert story.state.outputs == {"a-out": "sha256:a"}
    assert story.statuses() == {"a": StepStatus.SUCCEEDED, "b": StepStatus.CANCELLED}


def test_a_run_that_fails_can_still_be_cancelled_while_its_last_steps_run() -> None:
    story = Story(WIDE, started("a"), started("c"), failed("a"), cancelled())
    assert story.state.status is RunStatus.CANCELLED
    assert story.step("a").status is StepStatus.FAILED


def test_a_run_is_cancelled_before_anything_looked_at_it() -> None:
    record = Story(CHAIN).state.model_copy(update={"status": RunStatus.SUBMITTED})
    state = fold(record, cancelled(), pool_of).state
    assert state is not None
    assert state.status is RunStatus.CANCELLED
    assert fold(state, submission(CHAIN), pool_of) == Folded(state)


def test_a_run_that_ended_cannot_be_cancelled() -> None:
    story = Story(CHAIN, succeeded("a"), succeeded("b"))
    assert fold(story.state, cancelled(), pool_of) == Folded(story.state)
