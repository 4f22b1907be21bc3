"""Attempts: workers that die, go silent, come back late; pauses; inputs that are made again."""

from __future__ import annotations

from typing import get_args

import pytest

from modelpress.engine.events import CancelWork, DeadLetter, Event, Interruption, StepReady
from modelpress.engine.fold import BACKOFF_MAX_S, MAX_DEATHS, MAX_RETRIES, Folded, fold
from modelpress.engine.state import RunStatus, StepStatus
from tests.unit.engine.builders import (
    RUN,
    Story,
    cancelled,
    failed,
    granted,
    interrupted,
    plan_of,
    plan_with,
    planned_step,
    pool_of,
    ready,
    renewed,
    retry_due,
    said,
    started,
    succeeded,
)

CHAIN = plan_of({"a": [], "b": ["a"]})
FORK = plan_of({"a": [], "b": ["a"], "c": ["a"]})
BROKEN_A = {"from-a": ("sha256:blob",)}


def running(step_id: str = "a", attempt: int = 1) -> Story:
    return Story(CHAIN, granted(step_id, attempt), started(step_id, attempt))


@pytest.mark.parametrize("why", ["died", "expired", "released", "inputs"])
def test_an_interrupted_step_is_offered_again_at_once(why: Interruption) -> None:
    story = running()
    assert ready(story.tell(interrupted("a", why=why))) == [("a", 2)]
    step = story.step("a")
    assert (step.status, step.partition, step.worker, step.started_s) == (StepStatus.READY, None, "", 0.0)
    assert step.error == f"it {why}"


@pytest.mark.parametrize(
    ("why", "deaths", "retries"),
    [("died", 1, 0), ("expired", 1, 0), ("retryable", 0, 1), ("inputs", 0, 1), ("released", 0, 0)],
)
def test_each_kind_of_interruption_is_counted_as_what_it_is(why: Interruption, deaths: int, retries: int) -> None:
    story = running()
    story.tell(interrupted("a", why=why))
    assert (story.step("a").deaths, story.step("a").retries) == (deaths, retries)


def test_an_expired_attempt_is_told_to_stop() -> None:
    words = running().tell(interrupted("a", why="expired"))
    assert said(words, CancelWork) == [CancelWork(run_id=RUN, step_id="a", attempt=1)]


def test_a_command_that_nobody_claimed_costs_no_worker_its_life() -> None:
    story = Story(CHAIN)
    for attempt in range(1, MAX_DEATHS + 3):
        assert ready(story.tell(granted("a", attempt), interrupted("a", attempt, why="expired"))) == [
            ("a", attempt + 1)
        ]
    assert story.step("a").deaths == 0


@pytest.mark.parametrize("why", ["died", "expired"])
def test_a_step_that_kills_its_workers_is_given_up(why: Interruption) -> None:
    story = Story(CHAIN)
    for attempt in range(1, MAX_DEATHS + 1):
        assert story.state.status is RunStatus.RUNNING
        story.tell(granted("a", attempt), started("a", attempt), interrupted("a", attempt, why=why))
    assert story.state.status is RunStatus.FAILED
    assert story.step("a").error == f"given up: {MAX_DEATHS} workers died with it: it {why}"
    assert story.step("a").deaths == MAX_DEATHS
    assert story.step("b").status is StepStatus.SKIPPED


def test_an_attempt_that_is_claimed_again_has_lost_its_worker() -> None:
    story = running()
    assert story.tell(started("a", worker="w2")) == []
    step = story.step("a")
    assert (step.worker, step.deaths, step.attempt) == ("w2", 1, 1)
    story.tell(started("a", worker="w3"), started("a", worker="w4"))
    assert story.state.status is RunStatus.FAILED
    assert "3 workers died with it: it was claimed again because its worker was gone" in story.step("a").error
    assert CancelWork(run_id=RUN, step_id="a", attempt=1) in story.words


def test_a_claim_that_is_told_again_changes_nothing() -> None:
    story = running()
    assert fold(story.state, started("a"), pool_of) == Folded(story.state)


def test_a_renewal_changes_nothing() -> None:
    story = running()
    assert fold(story.state, renewed("a"), pool_of) == Folded(story.state)


def test_what_passes_is_tried_again_after_a_pause() -> None:
    story = running()
    assert story.tell(interrupted("a", why="retryable")) == []
    step = story.step("a")
    assert (step.status, step.attempt) == (StepStatus.WAITING, 2)
    assert 0.5 <= step.backoff_s <= 1.0
    assert ready(story.tell(retry_due("a", 2))) == [("a", 2)]
    assert story.step("a").backoff_s == 0.0


def test_a_pause_ends_once_and_for_its_attempt_only() -> None:
    story = running()
    story.tell(interrupted("a", why="retryable"))
    assert story.tell(retry_due("a", 1)) == []
    assert ready(story.tell(retry_due("a", 2), retry_due("a", 2))) == [("a", 2)]


def test_pauses_grow_and_tries_are_bounded() -> None:
    story = Story(CHAIN)
    pauses_s = []
    for attempt in range(1, MAX_RETRIES + 1):
        story.tell(started("a", attempt), interrupted("a", attempt, why="retryable"))
        pauses_s.append(story.step("a").backoff_s)
        story.tell(retry_due("a", attempt + 1))
    assert all(0.5 * 2**n <= pause <= min(BACKOFF_MAX_S, 2**n) for n, pause in enumerate(pauses_s))
    story.tell(started("a", MAX_RETRIES + 1), interrupted("a", MAX_RETRIES + 1, why="retryable"))
    assert story.state.status is RunStatus.FAILED
    assert story.step("a").error == f"given up after {MAX_RETRIES + 1} attempts: it retryable"


def test_a_pause_has_a_jitter_that_everyone_computes_alike() -> None:
    def pause_s(run_id: str) -> float:
        story = Story(CHAIN, run_id=run_id)
        about = {"run_id": run_id}
        story.tell(started("a").model_copy(update=about))
        story.tell(interrupted("a", why="retryable").model_copy(update=about))
        return story.step("a").backoff_s

    assert pause_s("r1") == pause_s("r1") != pause_s("r2")


def test_released_work_may_be_released_for_ever() -> None:
    story = Story(CHAIN)
    for attempt in range(1, 20):
        story.tell(started("a", attempt), interrupted("a", attempt, why="released"))
    assert (story.state.status, story.step("a").attempt) == (RunStatus.RUNNING, 20)


def test_a_superseded_attempt_changes_and_says_nothing() -> None:
    story = running()
    story.tell(interrupted("a"), granted("a", 2))
    late: list[Event] = [started("a"), succeeded("a"), failed("a"), granted("a", partition=5)]
    for event in (*late, *(interrupted("a", why=why) for why in get_args(Interruption))):
        assert fold(story.state, event, pool_of) == Folded(story.state)


def test_a_result_that_came_before_the_expiry_stands() -> None:
    story = running()
    story.tell(succeeded("a"))
    assert story.tell(interrupted("a", why="expired")) == []
    assert story.step("a").status is StepStatus.SUCCEEDED


# Inputs that were lost.


def test_a_lost_input_is_made_again_before_the_step_runs() -> None:
    story = Story(CHAIN, succeeded("a"), granted("b"), started("b"))
    assert ready(story.tell(interrupted("b", why="inputs", broken=BROKEN_A))) == [("a", 2)]
    assert story.statuses() == {"a": StepStatus.READY, "b": StepStatus.WAITING}
    assert (story.step("a").attempt, story.step("b").attempt, story.state.open_steps) == (2, 2, 2)
    (word,) = said(story.tell(succeeded("a", 2, digest="sha256:anew")), StepReady)
    assert (word.command.name, word.command.attempt, word.command.inputs["from-a"]) == ("r1/b", 2, "sha256:anew")


def test_two_readers_of_one_lost_input_have_it_made_once() -> None:
    story = Story(FORK, succeeded("a"), started("b"), started("c"))
    words = story.tell(interrupted("b", why="inputs", broken=BROKEN_A))
    words += story.tell(interrupted("c", why="inputs", broken=BROKEN_A))
    assert ready(words) == [("a", 2)]
    assert ready(story.tell(succeeded("a", 2))) == [("b", 2), ("c", 2)]


def test_a_reader_that_fails_while_its_input_is_made_again_leaves_a_letter_with_what_it_read() -> None:
    story = Story(FORK, succeeded("a"), started("b"), started("c"))
    story.tell(interrupted("b", why="inputs", broken=BROKEN_A))
    (letter,) = said(story.tell(failed("c")), DeadLetter)
    assert letter.command is not None
    assert letter.command.inputs["from-a"] == "sha256:a"


def test_the_outputs_of_a_run_name_nothing_that_was_lost() -> None:
    story = Story(FORK, succeeded("a"), started("b"), started("c"))
    story.tell(interrupted("b", why="inputs", broken=BROKEN_A), failed("c"))
    assert story.state.outputs == {}


def test_a_finished_reader_stays_finished_while_its_input_is_made_again() -> None:
    story = Story(FORK, succeeded("a"), succeeded("c"), started("b"))
    story.tell(interrupted("b", why="inputs", broken=BROKEN_A), succeeded("a", 2), succeeded("b", 2))
    assert story.state.status is RunStatus.SUCCEEDED
    assert story.step("c").attempt == 1


def test_inputs_that_stay_broken_end_the_run() -> None:
    story = Story(CHAIN, succeeded("a"))
    for attempt in range(1, MAX_RETRIES + 2):
        assert story.state.status is RunStatus.RUNNING
        story.tell(started("b", attempt), interrupted("b", attempt, why="inputs", broken=BROKEN_A))
        story.tell(succeeded("a", attempt + 1))
    assert story.state.status is RunStatus.FAILED


def test_a_lost_input_of_the_run_itself_fails_the_step_and_says_what_to_do() -> None:
    story = Story(CHAIN, started("a"))
    story.tell(interrupted("a", why="inputs", broken={"data": ("sha256:gone",)}))
    assert story.state.status is RunStatus.FAILED
    wanted = "blob sha256:gone of the run's input 'data' is missing or corrupt: push it again, then resume"
    assert story.step("a").error == wanted


def test_of_a_list_the_steps_are_made_again() -> None:
    plan = plan_with(
        [planned_step("a"), planned_step("b"), planned_step("join", inputs={"many": ("a.out", "inputs.data", "b.out")})]
    )
    story = Story(plan, succeeded("a"), succeeded("b"), started("join"))
    words = story.tell(interrupted("join", why="inputs", broken={"many": ("sha256:gone",)}))
    assert ready(words) == [("a", 2), ("b", 2)]
    assert ready(story.tell(succeeded("b", 2), succeeded("a", 2))) == [("join", 2)]


def test_a_skipped_source_of_a_list_is_not_made_again() -> None:
    plan = plan_with(
        [
            planned_step("a"),
            planned_step("b", ["a"], when={"a.top1": ">= 90"}),
            planned_step("join", inputs={"many": ("a.out", "b.out")}),
        ]
    )
    story = Story(plan, succeeded("a", top1=1.0), started("join"))
    words = story.tell(interrupted("join", why="inputs", broken={"many": ("sha256:gone",)}))
    assert ready(words) == [("a", 2)]
    assert story.step("b").status is StepStatus.SKIPPED


def test_a_broken_port_that_the_plan_does_not_know_is_only_tried_again() -> None:
    story = Story(CHAIN, started("a"))
    assert ready(story.tell(interrupted("a", why="inputs", broken={"ghost": ("sha256:x",)}))) == [("a", 2)]


def test_a_pause_that_ends_while_an_input_is_made_again_does_not_start_the_step() -> None:
    story = Story(FORK, succeeded("a"), started("b"), started("c"))
    story.tell(interrupted("b", why="retryable"), interrupted("c", why="inputs", broken=BROKEN_A))
    assert story.tell(retry_due("b", 2)) == []
    assert ready(story.tell(succeeded("a", 2))) == [("b", 2), ("c", 2)]


def test_attempts_end_with_the_run() -> None:
    story = running()
    story.tell(interrupted("a", why="retryable"), cancelled())
    assert story.tell(retry_due("a", 2)) == []
    assert story.step("a").status is StepStatus.CANCELLED
