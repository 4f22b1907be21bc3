"""How a run goes on while nothing goes wrong: needs, fan-out and fan-in, lists, conditions, gates."""

from __future__ import annotations

import math

import pytest

from modelpress.engine.events import StepReady, StepSucceeded
from modelpress.engine.fold import Folded, fold
from modelpress.engine.state import RunStatus, StepStatus
from modelpress.pipeline.plan import Plan
from tests.unit.engine.builders import (
    DATA,
    RUN,
    Story,
    cancelled,
    failed,
    granted,
    plan_of,
    plan_with,
    planned_step,
    pool_of,
    ready,
    said,
    started,
    submission,
    succeeded,
    waits,
)

CHAIN = plan_of({"a": [], "b": ["a"]})
DIAMOND = plan_of({"a": [], "left": ["a"], "right": ["a"], "end": ["left", "right"]})
LIST = plan_with(
    [
        planned_step("a", when={}),
        planned_step("b", ["a"], when={"a.top1": ">= 90"}),
        planned_step("c", ["a"], when={"a.top1": ">= 80"}),
        planned_step("join", inputs={"many": ("b.out", "c.out")}),
        planned_step("end", ["join"]),
    ]
)


def test_nothing_is_known_before_the_submission() -> None:
    for early in (started("a"), cancelled(), succeeded("a")):
        assert fold(None, early, pool_of) == Folded(None)


def test_the_first_step_is_offered_with_the_resolved_inputs() -> None:
    story = Story(CHAIN, priority=3, threads=2)
    (word,) = said(story.words, StepReady)
    assert (word.pool, word.priority, word.order) == ("local", 3, 1.0)
    command = word.command
    assert (command.name, command.attempt, command.threads) == ("r1/a", 1, 2)
    assert command.inputs == {"data": DATA}
    assert command.key == story.step("a").key != ""
    assert story.state.status is RunStatus.RUNNING
    assert story.statuses() == {"a": StepStatus.READY, "b": StepStatus.WAITING}


def test_a_submission_seen_again_changes_and_says_nothing() -> None:
    story = Story(CHAIN, started("a"))
    assert fold(story.state, submission(CHAIN), pool_of) == Folded(story.state)


def test_a_submitted_record_becomes_the_run_at_its_event() -> None:
    record = Story(CHAIN).state.model_copy(update={"status": RunStatus.SUBMITTED})
    assert fold(record, started("a"), pool_of) == Folded(record)
    assert ready(fold(record, submission(CHAIN), pool_of).words) == [("a", 1)]


def test_a_step_is_offered_when_its_need_is_there() -> None:
    story = Story(CHAIN, granted("a"), started("a"))
    (word,) = said(story.tell(succeeded("a")), StepReady)
    assert word.command.inputs == {"data": DATA, "from-a": "sha256:a"}


def test_branches_are_offered_together_and_joined_once() -> None:
    story = Story(DIAMOND)
    assert ready(story.tell(succeeded("a"))) == [("left", 1), ("right", 1)]
    assert ready(story.tell(succeeded("left"))) == []
    assert ready(story.tell(succeeded("right"))) == [("end", 1)]


def test_independent_steps_are_offered_in_file_order() -> None:
    assert ready(Story(plan_of({"c": [], "a": [], "b": []})).words) == [("c", 1), ("a", 1), ("b", 1)]


def test_a_run_ends_with_its_outputs() -> None:
    story = Story(CHAIN, succeeded("a"), succeeded("b", top1=90.0))
    assert story.state.status is RunStatus.SUCCEEDED
    assert story.state.outputs == {"a-out": "sha256:a", "b-out": "sha256:b"}
    assert (story.state.open_steps, story.state.ended_s) == (0, 4.0)
    assert story.step("b").metrics == {"top1": 90.0}


def test_a_claim_tells_worker_key_and_facts() -> None:
    story = Story(CHAIN, granted("a", partition=2), started("a", simd="AVX2"))
    step = story.step("a")
    assert (step.status, step.worker, step.key, step.partition) == (StepStatus.RUNNING, "w1", "key-a", 2)
    assert story.state.provenance == {"python": "3", "worker": {"simd": "AVX2"}}


def test_a_cached_result_needs_no_claim() -> None:
    cached = StepSucceeded(run_id=RUN, at_s=4.0, step_id="a", attempt=1, key="k", outputs={"out": "d"}, cached=True)
    story = Story(CHAIN, granted("a"), cached)
    step = story.step("a")
    assert (step.status, step.cached, step.key, step.started_s) == (StepStatus.SUCCEEDED, True, "k", 4.0)


def test_a_step_says_what_it_waits_for_until_it_is_granted() -> None:
    story = Story(CHAIN, waits("a"))
    assert story.step("a").waits_for == "r0/x"
    story.tell(granted("a"))
    assert (story.step("a").waits_for, story.step("a").partition) == ("", 0)
    assert story.tell(waits("a")) == []
    assert story.step("a").waits_for == "", "a word from before the grant came again"


def test_measurements_have_no_key_and_are_alone() -> None:
    (word,) = said(Story(plan_of({"a": []}, a={"alone": True})).words, StepReady)
    assert (word.command.key, word.command.alone) == ("", True)


def test_a_steps_own_wishes_go_before_the_runs() -> None:
    wishes = {"threads": 4, "memory_mb": 100, "timeout_s": 2.0, "worker_class": "gpu"}
    (word,) = said(Story(plan_of({"a": []}, a=wishes), threads=2).words, StepReady)
    assert (word.pool, word.command.threads, word.command.memory_mb, word.command.timeout_s) == ("gpu", 4, 100, 2.0)


# Conditions and lists.


def test_a_condition_that_does_not_hold_skips_the_step_and_what_needs_it() -> None:
    plan = plan_of({"a": [], "b": [], "c": ["b"], "d": ["c"]}, b={"when": {"a.top1": ">= 90"}})
    story = Story(plan)
    assert ready(story.tell(succeeded("a", top1=89.5))) == []
    assert story.statuses() == {"a": StepStatus.SUCCEEDED, **dict.fromkeys("bcd", StepStatus.SKIPPED)}
    assert story.step("b").error == "a.top1 is 89.5, not >= 90"
    assert story.step("c").error == "'b' was skipped"
    assert (story.state.status, story.state.outputs) == (RunStatus.SUCCEEDED, {"a-out": "sha256:a"})


def test_a_condition_that_holds_lets_the_step_run() -> None:
    story = Story(plan_of({"a": [], "b": []}, b={"when": {"a.top1": ">= 90"}}))
    assert ready(story.words) == [("a", 1)], "b reads a's metric"
    assert ready(story.tell(succeeded("a", top1=90.0))) == [("b", 1)]


@pytest.mark.parametrize("result", [succeeded("a"), succeeded("a", top1=math.nan)])
def test_a_condition_on_nothing_or_nan_skips(result: StepSucceeded) -> None:
    story = Story(plan_of({"a": [], "b": []}, b={"when": {"a.top1": ">= 90"}}), result)
    assert story.step("b").status is StepStatus.SKIPPED


def test_a_list_waits_for_all_and_takes_those_that_ran() -> None:
    story = Story(LIST)
    assert ready(story.tell(succeeded("a", top1=85.0))) == [("c", 1)]
    (word,) = said(story.tell(succeeded("c")), StepReady)
    assert word.command.inputs == {"many": ("sha256:c",)}


def test_a_list_keeps_the_order_of_the_file() -> None:
    story = Story(LIST, succeeded("a", top1=95.0), succeeded("c"))
    (word,) = said(story.tell(succeeded("b")), StepReady)
    assert word.command.inputs == {"many": ("sha256:b", "sha256:c")}


def test_a_list_of_skipped_steps_is_skipped_and_so_is_what_follows() -> None:
    story = Story(LIST, succeeded("a", top1=10.0))
    assert set(story.statuses().values()) == {StepStatus.SUCCEEDED, StepStatus.SKIPPED}
    assert story.state.status is RunStatus.SUCCEEDED


def test_skipping_may_let_a_list_go_on() -> None:
    plan = plan_with(
        [
            planned_step("a"),
            planned_step("slow"),
            planned_step("b", ["a"], when={"a.top1": ">= 90"}),
            planned_step("join", inputs={"many": ("slow.out", "b.out")}),
        ]
    )
    story = Story(plan, succeeded("slow"))
    (word,) = said(story.tell(succeeded("a", top1=1.0)), StepReady)
    assert word.command.inputs == {"many": ("sha256:slow",)}


def test_an_output_that_a_step_did_not_make_skips_its_readers_and_says_so() -> None:
    nothing = succeeded("a").model_copy(update={"outputs": {}})
    story = Story(CHAIN, nothing)
    assert (story.step("b").status, story.step("b").error) == (StepStatus.SKIPPED, "'a' made no 'out'")


# Gates.


def test_a_gate_that_holds_lets_the_run_go_on() -> None:
    story = Story(plan_of({"a": [], "b": ["a"]}, gated="a"))
    assert ready(story.tell(succeeded("a", drop=0.5))) == [("b", 1)]
    assert story.step("a").gates == {"drop": True}


def test_a_refused_gate_ends_the_run_and_keeps_the_outputs() -> None:
    story = Story(plan_of({"a": [], "b": ["a"]}, gated="a"))
    assert ready(story.tell(succeeded("a", drop=0.75))) == []
    assert story.state.status is RunStatus.REFUSED
    assert story.state.error == "step 'a' refused by its gate: drop is 0.75, not <= 0.5"
    assert story.state.outputs == {"a-out": "sha256:a"}
    assert story.statuses() == {"a": StepStatus.REFUSED, "b": StepStatus.SKIPPED}


def test_a_gate_on_nan_or_on_nothing_refuses() -> None:
    plan = plan_of({"a": []}, gated="a")
    assert Story(plan, succeeded("a", drop=math.nan)).state.status is RunStatus.REFUSED
    assert "drop is not reported" in Story(plan, succeeded("a")).state.error


# Plans that could never end.


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (plan_of({"a": ["b"], "b": ["a"], "c": []}), "the steps a, b wait for each other"),
        (plan_of({"a": ["a"]}), "the steps a wait for each other"),
        (plan_of({"a": ["ghost"]}), "needs steps that it lacks: ghost"),
        (plan_of({}), "the plan has no steps"),
        (plan_with([planned_step("a", inputs={"x": "inputs.other"})]), "needs inputs that it lacks: other"),
        (plan_with([planned_step("a"), planned_step("a")]), "several steps are called a"),
        (plan_with([planned_step("a", gate={"top1": "about 3"})]), "step 'a': 'about 3' is no condition"),
        (plan_with([planned_step("a"), planned_step("b", when={"a.x": "!= 3"})]), "step 'b': '!= 3' is no condition"),
        (plan_with([planned_step("a", params={"clip": math.inf})]), "step 'a': Out of range float values"),
        (plan_with([planned_step("a")], outputs={"x": "ghost.out"}), "needs steps that it lacks: ghost"),
    ],
)
def test_a_plan_that_cannot_be_run_fails_at_once_and_says_why(plan: Plan, message: str) -> None:
    story = Story(plan)
    assert story.state.status is RunStatus.FAILED
    assert message in story.state.error
    assert ready(story.words) == []
    assert all(step.status is StepStatus.SKIPPED for step in story.state.steps.values())
    assert story.state.open_steps == 0


# Facts that come late, early, or are about something else.


def test_facts_about_another_run_or_an_unknown_step_change_nothing() -> None:
    state = Story(CHAIN).state
    for event in (started("a").model_copy(update={"run_id": "r2"}), started("ghost"), failed("ghost")):
        assert fold(state, event, pool_of) == Folded(state)


def test_an_attempt_that_was_never_offered_changes_nothing() -> None:
    state = Story(CHAIN).state
    for early in (started("b"), succeeded("b"), failed("b"), started("a", 2), succeeded("a", 0), granted("b")):
        assert fold(state, early, pool_of) == Folded(state)


def test_a_fold_leaves_the_state_it_was_given() -> None:
    story = Story(CHAIN)
    before = story.state
    copy = before.model_copy(deep=True)
    story.tell(started("a"), succeeded("a"))
    assert before == copy


def test_only_what_changed_is_named() -> None:
    story = Story(DIAMOND, started("a"))
    assert fold(story.state, succeeded("a"), pool_of).changed == {"a", "left", "right"}
