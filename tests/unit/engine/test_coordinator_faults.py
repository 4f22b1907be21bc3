"""The coordinator when workers are silent, commands are lost, records unreadable, or a turn cannot end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest

from modelpress.bus.ports import Message, Partition, drain
from modelpress.engine.events import (
    DEAD_LETTERS,
    EVENTS,
    PLACES,
    Event,
    PlaceOffered,
    StepLeft,
    event_message,
    place_message,
)
from modelpress.engine.letters import dropped, original, read
from modelpress.engine.state import RunStatus, StepStatus
from modelpress.errors import StoreFullError
from tests.unit.engine.builders import (
    RUN,
    cancelled,
    failed,
    interrupted,
    plan_of,
    renewed,
    started,
    submission,
    succeeded,
)
from tests.unit.engine.desk import LEASE_S, Desk

CHAIN = plan_of({"a": [], "b": ["a"]})


@pytest.fixture
def desk() -> Iterator[Desk]:
    with Desk() as desk:
        yield desk


# Leases.


def test_a_silent_worker_loses_its_attempt(desk: Desk) -> None:
    desk.begin(CHAIN)
    desk.pass_time(LEASE_S - 1)
    desk.settle()
    assert desk.step("a").attempt == 1
    desk.pass_time(2)
    desk.settle()
    assert (desk.step("a").attempt, desk.step("a").deaths) == (2, 1)
    assert desk.commands() == [("r1/a", 1), ("r1/a", 2)]
    assert "silent for 30 s" in desk.step("a").error


def test_a_command_that_was_lost_is_given_again(desk: Desk) -> None:
    desk.offer(1)
    desk.send(submission(CHAIN))
    desk.settle()
    desk.pass_time(LEASE_S + 1)
    desk.settle()
    assert desk.commands() == [("r1/a", 1), ("r1/a", 2)]
    assert desk.step("a").deaths == 0


def test_renewals_keep_an_attempt(desk: Desk) -> None:
    desk.begin(CHAIN)
    for _ in range(10):
        desk.pass_time(LEASE_S * 0.9)
        desk.send(renewed("a"))
        desk.settle()
    assert desk.step("a").attempt == 1


def test_renewals_of_a_superseded_attempt_keep_nothing(desk: Desk) -> None:
    desk.begin(CHAIN)
    desk.send(interrupted("a"))
    desk.settle()
    for _ in range(3):
        desk.pass_time(LEASE_S / 2)
        desk.send(renewed("a", 1))
        desk.settle()
    assert desk.step("a").attempt == 3


def test_an_absence_of_the_coordinator_expires_nobody(desk: Desk) -> None:
    desk.begin(CHAIN)
    desk.clock_s += 10 * LEASE_S
    desk.settle()
    assert desk.step("a").attempt == 1
    desk.pass_time(LEASE_S - 1)
    desk.settle()
    assert desk.step("a").attempt == 1, "a whole lease after it is back"
    desk.pass_time(2)
    desk.settle()
    assert desk.step("a").attempt == 2


def test_a_successor_gives_every_attempt_a_whole_lease(desk: Desk) -> None:
    desk.begin(CHAIN)
    desk.pass_time(LEASE_S - 1)
    desk.take_over()
    desk.pass_time(LEASE_S - 1)
    desk.settle()
    assert desk.step("a").attempt == 1
    desk.pass_time(2)
    desk.settle()
    assert desk.step("a").attempt == 2


def test_nobody_expires_before_all_was_read(desk: Desk) -> None:
    desk.begin(CHAIN)
    desk.pass_time(LEASE_S - 1)
    noise = [event_message(renewed("ghost")) for _ in range(1200)]
    desk.bus.producer().send([*noise, event_message(renewed("a"))])
    desk.clock_s += 2
    desk.coordinator.advance()
    desk.settle()
    assert desk.step("a").attempt == 1


def test_the_end_of_a_pause_is_an_event(desk: Desk) -> None:
    desk.begin(CHAIN)
    desk.send(interrupted("a", why="retryable"))
    desk.left("a")
    desk.settle()
    assert desk.commands() == [("r1/a", 1)]
    assert desk.coordinator.due_s() == desk.clock_s + desk.step("a").backoff_s
    desk.pass_time(1.0)
    desk.settle()
    assert desk.commands() == [("r1/a", 1), ("r1/a", 2)]


def test_the_place_of_a_lost_command_is_free_a_lease_after_its_run_was_cancelled(desk: Desk) -> None:
    desk.offer(1)
    desk.send(submission(CHAIN))
    desk.settle()
    desk.send(cancelled(), submission(CHAIN, run_id="r2"))
    desk.settle()
    assert desk.commands() == [("r1/a", 1)]
    desk.pass_time(LEASE_S + 1)
    desk.settle()
    assert desk.commands() == [("r1/a", 1), ("r2/a", 1)]


def test_the_place_of_a_poison_step_is_free_a_lease_after_it_was_given_up(desk: Desk) -> None:
    desk.offer(1)
    desk.send(submission(CHAIN))
    for attempt in (1, 2, 3):
        desk.settle()
        desk.send(started("a", attempt))
        desk.settle()
        desk.pass_time(LEASE_S + 1)
    desk.settle()
    assert desk.state().status is RunStatus.FAILED
    desk.send(submission(CHAIN, run_id="r2"))
    desk.pass_time(LEASE_S + 1)
    desk.settle()
    assert desk.commands()[-1] == ("r2/a", 1)


def test_a_lost_command_does_not_keep_the_place_that_its_own_input_needs(desk: Desk) -> None:
    plan = plan_of({"a": [], "b": ["a"], "c": ["a"]}, c={"alone": True})
    desk.offer(1)
    desk.send(submission(plan))
    desk.settle()
    desk.done("a")
    desk.settle()
    desk.send(started("b"), interrupted("b", why="inputs", broken={"from-a": ("sha256:a",)}))
    desk.left("b")
    desk.settle()
    assert desk.commands()[-1] == ("r1/c", 1), "it was ready before 'a' was to be made again"
    desk.pass_time(2 * LEASE_S + 2)
    desk.settle()
    assert desk.commands()[-1] == ("r1/a", 2), "'c' waits for 'a', and 'a' for the place of 'c'"


# Single-flight.


def test_runs_that_share_a_step_compute_it_once(desk: Desk) -> None:
    desk.offer(16)
    runs = [f"run-{n}" for n in range(5)]
    desk.send(*(submission(CHAIN, run_id=run) for run in runs))
    desk.settle()
    assert len(desk.commands()) == 1
    waiting = [desk.state(run).steps["a"].waits_for for run in runs]
    assert sorted(waiting) == ["", *["run-0/a"] * 4]
    assert [event.type for event in desk.told].count("step-waits") == 4, "each says so once"


# What cannot be read.


def test_a_record_that_is_no_event_becomes_a_letter_and_is_passed_over(desk: Desk) -> None:
    nonsense = Message(EVENTS, RUN, b'{"type": "from-the-future"}')
    desk.bus.producer().send([nonsense, Message(PLACES, "local", b"\xff\x00")])
    desk.offer(1)
    desk.send(submission(CHAIN))
    desk.settle()
    assert desk.commands() == [("r1/a", 1)]
    letter, other = sorted(read(desk.bus), key=lambda letter: letter.topic)
    assert (letter.topic, letter.partition, letter.offset, letter.key) == (EVENTS, 0, 0, RUN)
    assert "no event of this version" in letter.error
    assert original(letter) == Message(EVENTS, RUN, nonsense.value, 0)
    assert (other.topic, original(other).value) == (PLACES, b"\xff\x00")


def test_a_letter_that_is_dropped_is_gone(desk: Desk) -> None:
    desk.bus.producer().send([Message(EVENTS, RUN, b"{}")])
    desk.settle()
    (letter,) = read(desk.bus)
    desk.bus.producer().send([dropped(letter)])
    assert read(desk.bus) == ()


def test_a_step_that_failed_leaves_a_letter(desk: Desk) -> None:
    desk.begin(CHAIN)
    desk.send(failed("a"))
    desk.settle()
    (letter,) = read(desk.bus)
    assert letter.command is not None
    assert (letter.command.name, letter.error) == ("r1/a", "ValueError: no")
    assert len(drain(desk.bus.tail([DEAD_LETTERS]))) == 1


# A full disk, and other ends of a turn.


def test_what_could_not_be_written_is_written_when_there_is_space(desk: Desk) -> None:
    desk.begin(CHAIN)
    desk.done("a")
    with desk.full_disk():
        for _ in range(3):
            with pytest.raises(StoreFullError):
                desk.coordinator.advance()
        assert desk.commands() == [("r1/a", 1)]
    desk.offer(1)
    desk.settle()
    assert desk.commands() == [("r1/a", 1), ("r1/b", 1)]


def test_a_turn_that_a_signal_ended_is_done_again(desk: Desk) -> None:
    desk.begin(CHAIN)
    desk.done("a")

    def interrupt(offsets: Mapping[Partition, int], out: Sequence[Message]) -> None:
        raise KeyboardInterrupt

    with desk.commits_do(interrupt), pytest.raises(KeyboardInterrupt):
        desk.coordinator.advance()
    desk.offer(1)
    desk.settle()
    assert desk.commands() == [("r1/a", 1), ("r1/b", 1)]


def test_an_observer_that_fails_loses_nothing(desk: Desk) -> None:
    desk.begin(CHAIN)

    def fail(event: Event) -> None:
        raise RuntimeError("a display broke")

    desk.observe(fail)
    desk.done("a")
    with pytest.raises(RuntimeError, match="a display broke"):
        desk.coordinator.advance()
    desk.observe(lambda event: None)
    desk.offer(1)
    desk.settle()
    assert desk.commands() == [("r1/a", 1), ("r1/b", 1)]


def test_places_that_are_offered_before_anything_is_known_count(desk: Desk) -> None:
    desk.bus.producer().send([place_message(PlaceOffered(pool="local", worker="w", partition=0, cores=1))])
    left = StepLeft(pool="local", partition=0, run_id="ghost", step_id="a", attempt=1)
    desk.bus.producer().send([place_message(left)])
    desk.send(submission(CHAIN))
    desk.take_over()
    desk.settle()
    assert desk.commands() == [("r1/a", 1)]


def test_a_late_success_changes_no_final_run(desk: Desk) -> None:
    desk.begin(CHAIN)
    desk.send(cancelled(), succeeded("a"))
    desk.settle()
    assert desk.step("a").status is StepStatus.CANCELLED
    assert desk.logged() == desk.state()
