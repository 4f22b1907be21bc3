"""The coordinator on a bus in memory: what it writes, when it is lost, late, fenced, or out of space."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import pytest

from modelpress.bus.ports import Message, Partition, drain
from modelpress.engine.coordinator import Coordinator
from modelpress.engine.events import (
    CONTROL,
    DEAD_LETTERS,
    EVENTS,
    PLACES,
    RUNS,
    CancelWork,
    Event,
    PlaceOffered,
    StepLeft,
    event_message,
    parse_cancel,
    place_message,
)
from modelpress.engine.fold import submitted
from modelpress.engine.letters import dropped, original, read
from modelpress.engine.records import run_messages
from modelpress.engine.state import RunStatus, StepStatus
from modelpress.errors import StoreFullError
from modelpress.pipeline.plan import Plan
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
PAIR = plan_of({"a": [], "b": []})


def unlike(seed: int) -> Plan:
    """A chain that shares no step with those of other seeds."""
    return CHAIN.model_copy(update={"seed": seed})


@pytest.fixture
def desk() -> Iterator[Desk]:
    with Desk() as desk:
        yield desk


def started_run(desk: Desk, cores: int = 1) -> None:
    """A run whose step ``a`` runs."""
    desk.offer(cores)
    desk.send(submission(CHAIN))
    desk.settle()
    desk.send(started("a"))
    desk.settle()


def test_a_submission_becomes_a_command_in_the_partition_of_a_place() -> None:
    with Desk(partitions=4) as desk:
        desk.send(submission(CHAIN))
        desk.settle()
        assert desk.commands() == []
        desk.offer(1, partition=3)
        desk.settle()
        assert desk.commands() == [("r1/a", 1)]
        (record,) = drain(desk.bus.tail(["steps.local"]))
        assert record.partition == Partition("steps.local", 3)
        assert desk.step("a").partition == 3


def test_the_whole_run_is_driven_by_facts(desk: Desk) -> None:
    started_run(desk)
    desk.done("a")
    desk.settle()
    assert desk.commands() == [("r1/a", 1), ("r1/b", 1)]
    desk.done("b")
    desk.settle()
    assert desk.state().status is RunStatus.SUCCEEDED
    assert desk.logged() == desk.state()


def test_a_large_run_ends_and_writes_a_few_records_a_step(desk: Desk) -> None:
    size = 400
    wide = {"root": [], **{f"s{n}": ["root"] for n in range(size)}, "end": [f"s{n}" for n in range(size)]}
    desk.offer(50)
    desk.send(submission(plan_of(wide)))
    done = 0
    desk.settle()
    while not desk.state().status.final:
        commands = desk.commands()
        assert len(commands) > done, "nothing goes on"
        for name, attempt in commands[done:]:
            desk.done(name.removeprefix("r1/"), attempt)
        done = len(commands)
        desk.settle()
    assert desk.state().status is RunStatus.SUCCEEDED
    newest = max(record.offset for record in drain(desk.bus.tail([RUNS])))
    assert newest < 5 * len(wide)


def test_nothing_to_do_is_said(desk: Desk) -> None:
    started_run(desk)
    assert desk.coordinator.advance() is False


def test_one_turn_grants_what_it_found_ready(desk: Desk) -> None:
    started_run(desk)
    desk.done("a")
    desk.coordinator.advance()
    assert ("r1/b", 1) in desk.commands()


def test_nothing_is_granted_that_the_same_turn_ends(desk: Desk) -> None:
    desk.offer(1)
    desk.settle()
    desk.send(submission(CHAIN), cancelled())
    desk.settle()
    assert desk.commands() == []
    assert desk.state().status is RunStatus.CANCELLED


def test_a_run_that_was_submitted_and_cancelled_while_nothing_drove_never_runs() -> None:
    with Desk(driven=False) as desk:
        desk.offer(1)
        desk.send(submission(CHAIN), cancelled())
        desk.take_over()
        desk.settle()
        assert (desk.commands(), desk.state().status) == ([], RunStatus.CANCELLED)
        assert desk.logged() == desk.state()


def test_cancel_reaches_the_workers(desk: Desk) -> None:
    started_run(desk)
    desk.send(cancelled())
    desk.settle()
    (record,) = drain(desk.bus.tail([CONTROL]))
    assert parse_cancel(record.value) == CancelWork(run_id=RUN)


def test_events_are_told_in_order_once_they_were_folded(desk: Desk) -> None:
    started_run(desk)
    assert [event.type for event in desk.told] == ["run-submitted", "step-granted", "step-started"]


# One coordinator after the other.


def test_a_successor_grants_nothing_again(desk: Desk) -> None:
    started_run(desk, cores=4)
    desk.take_over()
    desk.settle()
    assert desk.commands() == [("r1/a", 1)]
    assert desk.step("a").status is StepStatus.RUNNING


def test_a_successor_counts_the_cores_that_are_out(desk: Desk) -> None:
    desk.offer(1)
    desk.send(submission(PAIR))
    desk.settle()
    desk.take_over()
    desk.offer(1)
    desk.settle()
    assert desk.commands() == [("r1/a", 1)]
    desk.done("a")
    desk.settle()
    assert desk.commands() == [("r1/a", 1), ("r1/b", 1)]


def test_a_successor_goes_on_where_its_predecessor_wrote(desk: Desk) -> None:
    started_run(desk)
    desk.done("a")
    desk.take_over()
    desk.offer(1)
    desk.settle()
    assert desk.commands() == [("r1/a", 1), ("r1/b", 1)]


def test_ready_steps_that_no_place_had_are_not_lost_by_a_take_over(desk: Desk) -> None:
    desk.send(submission(PAIR))
    desk.settle()
    desk.take_over()
    desk.offer(2)
    desk.settle()
    assert desk.commands() == [("r1/a", 1), ("r1/b", 1)]


def test_a_successor_grants_nothing_before_it_has_read_all(desk: Desk) -> None:
    desk.send(submission(PAIR))
    desk.settle()
    desk.offer(2)
    desk.send(*(renewed("ghost") for _ in range(1200)), cancelled())
    desk.take_over()
    desk.settle()
    assert desk.commands() == []


def test_a_run_that_ended_is_not_begun_again_by_its_submission(desk: Desk) -> None:
    started_run(desk)
    desk.send(cancelled())
    desk.settle()
    ended = desk.state()
    desk.take_over()
    desk.send(submission(CHAIN))
    desk.offer(4)
    desk.settle()
    assert (desk.commands(), desk.logged()) == ([("r1/a", 1)], ended)


def test_a_run_that_only_its_records_tell_of_waits_for_its_event(desk: Desk) -> None:
    event = submission(CHAIN)
    desk.bus.producer().send([*run_messages(submitted(event)), event_message(event)])
    desk.take_over()
    desk.offer(1)
    desk.settle()
    assert desk.commands() == [("r1/a", 1)]


def test_several_coordinators_share_the_runs() -> None:
    with Desk(partitions=4) as desk:
        others = [desk.another(), desk.another()]
        desk.settle(*others)
        for partition in range(4):
            desk.offer(8, partition=partition)
        for n in range(20):
            desk.send(submission(unlike(n), run_id=f"run-{n}"))
        desk.settle(*others)
        assert sorted(desk.commands()) == sorted((f"run-{n}/a", 1) for n in range(20))
        shares = [[n for n in range(20) if one.get(f"run-{n}")] for one in (desk.coordinator, *others)]
        assert sorted(itertools.chain(*shares)) == list(range(20)), "each has one owner"
        assert sum(map(bool, shares)) > 1


def test_a_coordinator_that_joins_leaves_nothing_behind() -> None:
    with Desk(partitions=2) as desk:
        for n in range(10):
            desk.send(submission(unlike(n), run_id=f"run-{n}"))
        desk.settle()
        other = desk.another()
        desk.offer(20)
        desk.settle(other)
        assert sorted(desk.commands()) == sorted((f"run-{n}/a", 1) for n in range(10))
        other.close()
        desk.settle()
        assert sum(desk.coordinator.get(f"run-{n}") is not None for n in range(10)) == 10


def test_a_stale_coordinator_writes_nothing_and_joins_anew(desk: Desk) -> None:
    desk.offer(1)
    desk.settle()
    desk.send(submission(CHAIN))
    joined: list[Coordinator] = []

    def join(offsets: Mapping[Partition, int], out: Sequence[Message]) -> None:
        if not joined:
            joined.append(desk.another())
            joined[0].advance()

    with desk.commits_do(join):
        desk.coordinator.advance()
    assert desk.commands() == [], "it had read the run, but a partition of its is another's now"
    desk.offer(1)
    desk.settle(*joined)
    assert desk.commands() == [("r1/a", 1)]


# Leases.


def test_a_silent_worker_loses_its_attempt(desk: Desk) -> None:
    started_run(desk)
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
    started_run(desk)
    for _ in range(10):
        desk.pass_time(LEASE_S * 0.9)
        desk.send(renewed("a"))
        desk.settle()
    assert desk.step("a").attempt == 1


def test_renewals_of_a_superseded_attempt_keep_nothing(desk: Desk) -> None:
    started_run(desk)
    desk.send(interrupted("a"))
    desk.settle()
    for _ in range(3):
        desk.pass_time(LEASE_S / 2)
        desk.send(renewed("a", 1))
        desk.settle()
    assert desk.step("a").attempt == 3


def test_an_absence_of_the_coordinator_expires_nobody(desk: Desk) -> None:
    started_run(desk)
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
    started_run(desk)
    desk.pass_time(LEASE_S - 1)
    desk.take_over()
    desk.pass_time(LEASE_S - 1)
    desk.settle()
    assert desk.step("a").attempt == 1
    desk.pass_time(2)
    desk.settle()
    assert desk.step("a").attempt == 2


def test_nobody_expires_before_all_was_read(desk: Desk) -> None:
    started_run(desk)
    desk.pass_time(LEASE_S - 1)
    noise = [event_message(renewed("ghost")) for _ in range(1200)]
    desk.bus.producer().send([*noise, event_message(renewed("a"))])
    desk.clock_s += 2
    desk.coordinator.advance()
    desk.settle()
    assert desk.step("a").attempt == 1


def test_the_end_of_a_pause_is_an_event(desk: Desk) -> None:
    started_run(desk)
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
    started_run(desk)
    desk.send(failed("a"))
    desk.settle()
    (letter,) = read(desk.bus)
    assert letter.command is not None
    assert (letter.command.name, letter.error) == ("r1/a", "ValueError: no")
    assert len(drain(desk.bus.tail([DEAD_LETTERS]))) == 1


# A full disk, and other ends of a turn.


def test_what_could_not_be_written_is_written_when_there_is_space(desk: Desk) -> None:
    started_run(desk)
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
    started_run(desk)
    desk.done("a")

    def interrupt(offsets: Mapping[Partition, int], out: Sequence[Message]) -> None:
        raise KeyboardInterrupt

    with desk.commits_do(interrupt), pytest.raises(KeyboardInterrupt):
        desk.coordinator.advance()
    desk.offer(1)
    desk.settle()
    assert desk.commands() == [("r1/a", 1), ("r1/b", 1)]


def test_an_observer_that_fails_loses_nothing(desk: Desk) -> None:
    started_run(desk)

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
    started_run(desk)
    desk.send(cancelled(), succeeded("a"))
    desk.settle()
    assert desk.step("a").status is StepStatus.CANCELLED
    assert desk.logged() == desk.state()
