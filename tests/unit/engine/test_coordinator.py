"""The coordinator on a bus in memory: what it writes, when it is lost, late, fenced, or out of space."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import pytest

from modelpress.bus.ports import Message, Partition, drain
from modelpress.engine.coordinator import Coordinator
from modelpress.engine.events import (
    CONTROL,
    RUNS,
    CancelWork,
    event_message,
    parse_cancel,
)
from modelpress.engine.fold import submitted
from modelpress.engine.records import run_messages
from modelpress.engine.state import RunStatus, StepStatus
from modelpress.pipeline.plan import Plan
from tests.unit.engine.builders import (
    RUN,
    cancelled,
    plan_of,
    renewed,
    submission,
)
from tests.unit.engine.desk import Desk

CHAIN = plan_of({"a": [], "b": ["a"]})
PAIR = plan_of({"a": [], "b": []})


def unlike(seed: int) -> Plan:
    """A chain that shares no step with those of other seeds."""
    return CHAIN.model_copy(update={"seed": seed})


@pytest.fixture
def desk() -> Iterator[Desk]:
    with Desk() as desk:
        yield desk


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
    desk.begin(CHAIN)
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
    desk.begin(CHAIN)
    assert desk.coordinator.advance() is False


def test_one_turn_grants_what_it_found_ready(desk: Desk) -> None:
    desk.begin(CHAIN)
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
    desk.begin(CHAIN)
    desk.send(cancelled())
    desk.settle()
    (record,) = drain(desk.bus.tail([CONTROL]))
    assert parse_cancel(record.value) == CancelWork(run_id=RUN)


def test_events_are_told_in_order_once_they_were_folded(desk: Desk) -> None:
    desk.begin(CHAIN)
    assert [event.type for event in desk.told] == ["run-submitted", "step-granted", "step-started"]


# One coordinator after the other.


def test_a_successor_grants_nothing_again(desk: Desk) -> None:
    desk.begin(CHAIN, cores=4)
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
    desk.begin(CHAIN)
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
    desk.begin(CHAIN)
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
