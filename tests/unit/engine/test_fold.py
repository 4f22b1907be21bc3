from __future__ import annotations

import math

from modelpress.engine.events import Event, RunCancelled, StepCommand, StepIssued
from modelpress.engine.fold import MAX_ATTEMPTS, apply, decide, is_current
from modelpress.engine.state import RunStatus, StepStatus
from tests.unit.engine.builders import (
    RUN,
    failed,
    fold,
    interrupted,
    invalidated,
    plan_of,
    settled,
    started,
    submitted,
    succeeded,
)

CHAIN = plan_of({"a": [], "b": ["a"]})
DIAMOND = plan_of({"a": [], "left": ["a"], "right": ["a"], "end": ["left", "right"]})
CANCELLED = RunCancelled(run_id=RUN, at_s=9.0)


def named(commands: list[StepCommand]) -> list[tuple[str, int]]:
    return [(command.step_id, command.attempt) for command in commands]


def test_nothing_is_known_before_the_submission() -> None:
    assert apply(None, started("a")) is None


def test_the_first_command_carries_the_resolved_inputs() -> None:
    state, (command,) = settled(submitted(CHAIN))
    assert (command.step_id, command.attempt, command.inputs) == ("a", 1, {"data": "sha256:data"})
    assert state.status is RunStatus.RUNNING
    assert decide(state, now_s=3.0).commands == ()


def test_a_step_is_issued_when_its_need_is_there() -> None:
    _, commands = settled(submitted(CHAIN), started("a"), succeeded("a"))
    assert named(commands) == [("a", 1), ("b", 1)]
    assert commands[1].inputs == {"data": "sha256:data", "from-a": "sha256:a"}


def test_branches_are_issued_together_and_joined_once() -> None:
    _, commands = settled(submitted(DIAMOND), *map(succeeded, ("a", "left", "right")))
    assert named(commands) == [("a", 1), ("left", 1), ("right", 1), ("end", 1)]


def test_a_run_ends_with_its_outputs() -> None:
    state, _ = settled(submitted(CHAIN), succeeded("a"), succeeded("b", top1=90.0))
    assert state.status is RunStatus.SUCCEEDED
    assert state.outputs == {"a-out": "sha256:a", "b-out": "sha256:b"}
    assert state.steps["b"].metrics == {"top1": 90.0}


def test_a_worker_tells_what_it_is() -> None:
    state, _ = settled(submitted(CHAIN), started("a"))
    assert state.provenance == {"python": "3", "worker": {"simd": "AVX2"}}
    assert state.steps["a"].status is StepStatus.RUNNING


def test_a_gate_that_holds_lets_the_run_go_on() -> None:
    state, commands = settled(submitted(plan_of({"a": [], "b": ["a"]}, gated="a")), succeeded("a", drop=0.5))
    assert state.steps["a"].gates == {"drop": True}
    assert named(commands) == [("a", 1), ("b", 1)]


def test_a_refused_gate_ends_the_run_and_keeps_the_outputs() -> None:
    state, commands = settled(submitted(plan_of({"a": [], "b": ["a"]}, gated="a")), succeeded("a", drop=0.75))
    assert state.status is RunStatus.REFUSED
    assert state.error == "step 'a' refused by its gate: drop is 0.75, not <= 0.5"
    assert state.outputs == {"a-out": "sha256:a"}
    assert (state.steps["a"].status, state.steps["b"].status) == (StepStatus.REFUSED, StepStatus.SKIPPED)
    assert named(commands) == [("a", 1)]


def test_a_gate_on_nan_or_on_nothing_refuses() -> None:
    gated = submitted(plan_of({"a": []}, gated="a"))
    assert settled(gated, succeeded("a", drop=math.nan))[0].status is RunStatus.REFUSED
    state, _ = settled(gated, succeeded("a"))
    assert "drop is not reported" in state.error


def test_after_a_refusal_nothing_starts_and_the_end_waits_for_what_runs() -> None:
    plan = plan_of({"a": [], "left": ["a"], "right": ["a"], "other": [], "end": ["left", "right"]}, gated=["left"])
    state, commands = settled(submitted(plan), succeeded("a"), started("right"), succeeded("left", drop=1.0))
    assert state.status is RunStatus.RUNNING
    assert not any(is_current(state, command) for command in commands if command.step_id == "other")
    state, _ = settled(succeeded("right"), state=state)
    assert state.status is RunStatus.REFUSED
    assert state.steps["other"].status is StepStatus.SKIPPED


def test_a_failed_step_fails_the_run_and_names_itself() -> None:
    state, _ = settled(submitted(DIAMOND), succeeded("a"), started("left"), failed("left"))
    assert state.status is RunStatus.FAILED
    assert state.error == "step 'left' failed: ValueError: no"
    assert state.steps["end"].status is StepStatus.SKIPPED
    assert state.outputs == {"a-out": "sha256:a"}


def test_an_interrupted_step_gets_another_attempt() -> None:
    _, commands = settled(submitted(CHAIN), started("a"), interrupted("a"))
    assert named(commands) == [("a", 1), ("a", 2)]


def test_a_step_that_keeps_being_interrupted_is_given_up() -> None:
    deaths = [event for n in range(1, MAX_ATTEMPTS + 1) for event in (started("a", n), interrupted("a", n))]
    state, commands = settled(submitted(CHAIN), *deaths)
    assert state.status is RunStatus.FAILED
    assert "given up after 3 attempts: its process died" in state.error
    assert len(commands) == MAX_ATTEMPTS


def test_a_superseded_attempt_changes_nothing() -> None:
    state, _ = settled(submitted(CHAIN), started("a"), interrupted("a"))
    for late in (started("a", 1), succeeded("a", 1), failed("a", 1), interrupted("a", 1)):
        assert apply(state, late) == state


def test_an_attempt_that_was_never_issued_changes_nothing() -> None:
    state = fold([submitted(CHAIN)])
    for early in (started("a"), succeeded("a"), failed("b"), interrupted("a")):
        assert apply(state, early) == state


def test_an_invalidated_step_runs_again_before_what_reads_it() -> None:
    events: list[Event] = [submitted(CHAIN), succeeded("a"), started("b"), invalidated("a"), interrupted("b")]
    state, commands = settled(*events)
    assert named(commands) == [("a", 1), ("b", 1), ("a", 2)]
    assert state.steps["a"].outputs == {}
    _, more = settled(succeeded("a", 2), state=state)
    assert named(more) == [("b", 2)]


def test_cancel_is_final_and_stops_what_runs() -> None:
    state, commands = settled(submitted(CHAIN), started("a"), CANCELLED)
    assert state.status is RunStatus.CANCELLED
    assert {step.status for step in state.steps.values()} == {StepStatus.CANCELLED}
    assert not is_current(state, commands[0])
    assert apply(state, succeeded("a")) == state


def test_a_run_that_ended_cannot_be_cancelled() -> None:
    state, _ = settled(submitted(CHAIN), succeeded("a"), succeeded("b"))
    assert apply(state, CANCELLED) == state


def test_a_command_is_current_until_its_outcome() -> None:
    events: list[Event] = [submitted(CHAIN), started("a")]
    state, (command,) = settled(*events)
    assert is_current(state, command)
    assert not is_current(None, command)
    state, _ = settled(*events, succeeded("a"))
    assert not is_current(state, command)


def test_a_plan_that_waits_for_itself_fails_at_once() -> None:
    state, commands = settled(submitted(plan_of({"a": ["b"], "b": ["a"]})))
    assert state.status is RunStatus.FAILED
    assert "the steps a, b wait for each other" in state.error
    assert commands == []


def test_an_attempt_is_not_issued_while_another_is_out() -> None:
    state, _ = settled(submitted(CHAIN), started("a"))
    assert apply(state, StepIssued(run_id=RUN, at_s=3.0, step_id="a", attempt=2)) == state


def test_only_a_result_can_be_invalidated() -> None:
    state, _ = settled(submitted(CHAIN), started("a"))
    assert apply(state, invalidated("a")) == state


def test_the_command_of_a_superseded_attempt_is_not_current() -> None:
    state, (old, new) = settled(submitted(CHAIN), started("a"), interrupted("a"))
    assert not is_current(state, old)
    assert is_current(state, new)
