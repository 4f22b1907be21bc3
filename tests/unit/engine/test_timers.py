"""Deadlines, by a clock that the test sets."""

from __future__ import annotations

import math

from modelpress.engine.events import StepLeft
from modelpress.engine.timers import Due, Timers
from tests.unit.engine.builders import (
    RUN,
    Story,
    cancelled,
    granted,
    interrupted,
    plan_of,
    renewed,
    retry_due,
    started,
    succeeded,
)

PLAN = plan_of({"a": [], "b": []})
LEASE_S = 30.0


def lease(step_id: str = "a", attempt: int = 1) -> Due:
    return Due(RUN, step_id, attempt, "lease")


def test_what_nobody_was_granted_has_no_deadline() -> None:
    timers = Timers(LEASE_S)
    timers.follow_all(Story(PLAN).state, 0.0)
    assert timers.next_s() == math.inf
    assert timers.passed(1e9) == []


def test_a_grant_has_a_lease_and_so_has_a_claim() -> None:
    timers = Timers(LEASE_S)
    story = Story(PLAN, granted("a"))
    timers.follow(story.state, "a", 100.0)
    assert timers.next_s() == 130.0
    story.tell(started("a"))
    timers.follow(story.state, "a", 120.0)
    assert timers.passed(149.9) == []
    assert timers.passed(150.0) == [lease()]


def test_every_sign_of_life_begins_the_lease_anew() -> None:
    timers = Timers(LEASE_S)
    story = Story(PLAN, granted("a"), started("a"))
    for now_s in (0.0, 20.0, 40.0):
        timers.follow(story.state, "a", now_s)
    story.tell(renewed("a"))
    assert timers.next_s() == 70.0


def test_a_lease_that_passed_is_told_again_a_lease_later_only() -> None:
    timers = Timers(LEASE_S)
    timers.follow(Story(PLAN, granted("a")).state, "a", 0.0)
    assert timers.passed(30.0) == [lease()]
    assert timers.passed(31.0) == []
    assert timers.passed(60.0) == [lease()]


def test_what_ended_has_no_deadline() -> None:
    timers = Timers(LEASE_S)
    story = Story(PLAN, granted("a"), started("a"), granted("b"))
    timers.follow_all(story.state, 0.0)
    story.tell(succeeded("a"))
    timers.follow(story.state, "a", 1.0)
    assert timers.passed(100.0) == [lease("b")]
    story.tell(cancelled())
    timers.follow_all(story.state, 101.0)
    assert timers.next_s() == math.inf


def test_a_pause_ends_when_it_was_begun_whatever_comes_in_between() -> None:
    timers = Timers(LEASE_S)
    story = Story(PLAN, started("a"), interrupted("a", why="retryable"))
    pause_s = story.step("a").backoff_s
    timers.follow(story.state, "a", 10.0)
    timers.follow(story.state, "a", 10.4)
    assert timers.next_s() == 10.0 + pause_s
    assert timers.passed(10.0 + pause_s) == [Due(RUN, "a", 2, "pause")]
    story.tell(retry_due("a", 2))
    timers.follow(story.state, "a", 11.0)
    assert timers.next_s() == math.inf


def test_the_next_pause_of_a_step_is_another() -> None:
    timers = Timers(LEASE_S)
    story = Story(PLAN, started("a"), interrupted("a", why="retryable"))
    timers.follow(story.state, "a", 0.0)
    story.tell(retry_due("a", 2), started("a", 2), interrupted("a", 2, why="retryable"))
    timers.follow(story.state, "a", 50.0)
    assert timers.next_s() == 50.0 + story.step("a").backoff_s


def test_after_an_absence_every_lease_begins_anew_and_pauses_do_not() -> None:
    timers = Timers(LEASE_S)
    story = Story(PLAN, granted("a"), started("b"), interrupted("b", why="retryable"))
    timers.follow_all(story.state, 0.0)
    timers.renew(1000.0)
    assert timers.passed(1000.0) == [Due(RUN, "b", 2, "pause")]
    assert timers.passed(1029.9) == []
    assert lease() in timers.passed(1030.0)


def test_what_a_worker_should_have_said_is_told_once() -> None:
    timers = Timers(LEASE_S)
    left = StepLeft(pool="local", partition=0, run_id=RUN, step_id="a", attempt=2)
    timers.leave(left, 0.0)
    assert timers.next_s() == 30.0
    timers.renew(20.0)
    assert timers.gone(49.9) == []
    assert timers.gone(50.0) == [left]
    assert timers.next_s() == math.inf
