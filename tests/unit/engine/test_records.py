"""Runs as records, and put together again."""

from __future__ import annotations

import math

import pytest

from modelpress.bus.memory import MemoryBus
from modelpress.bus.ports import Message
from modelpress.engine.events import RUNS, topics
from modelpress.engine.fold import submitted
from modelpress.engine.records import RunsView, run_messages
from modelpress.engine.state import RunState
from modelpress.errors import BusError
from tests.unit.engine.builders import Story, failed, granted, interrupted, plan_of, started, submission, succeeded

DIAMOND = plan_of({"z": [], "left": ["z"], "right": ["z"], "end": ["left", "right"]})


@pytest.fixture
def bus() -> MemoryBus:
    bus = MemoryBus()
    bus.ensure(topics(("local",)))
    return bus


def send(bus: MemoryBus, *messages: Message) -> None:
    bus.producer().send(messages)


def read(bus: MemoryBus, run_id: str = "r1") -> RunState | None:
    view = RunsView(bus)
    view.refresh()
    return view.get(run_id)


def test_a_run_put_together_again_is_equal(bus: MemoryBus) -> None:
    story = Story(DIAMOND, granted("z"), started("z", simd="AVX2"), priority=2, tenant="t", threads=3)
    send(bus, *run_messages(story.state))
    assert read(bus) == story.state
    story.tell(succeeded("z", top1=math.inf), started("left"), interrupted("left", why="retryable"), failed("right"))
    send(bus, *run_messages(story.state))
    assert read(bus) == story.state


def test_nan_survives(bus: MemoryBus) -> None:
    send(bus, *run_messages(Story(DIAMOND, succeeded("z", loss=math.nan)).state))
    state = read(bus)
    assert state is not None
    assert math.isnan(state.steps["z"].metrics["loss"])


def test_only_what_changed_is_written(bus: MemoryBus) -> None:
    story = Story(DIAMOND)
    send(bus, *run_messages(story.state))
    before = story.state
    story.tell(granted("z"))
    (message,) = run_messages(story.state, ["z"], header=False)
    send(bus, message)
    assert read(bus) == story.state != before
    assert [m.key for m in run_messages(story.state, [])] == ["r1"]


def test_a_view_follows(bus: MemoryBus) -> None:
    view = RunsView(bus)
    view.refresh()
    assert view.states() == []
    story = Story(DIAMOND)
    send(bus, *run_messages(story.state))
    assert view.get("r1") is None, "nothing is read unasked"
    view.refresh()
    first = view.get("r1")
    assert view.get("r1") is first, "unchanged, it is the same object"
    story.tell(granted("z"))
    send(bus, *run_messages(story.state, ["z"], header=False))
    view.refresh()
    assert view.get("r1") == story.state


def test_a_removed_run_is_gone_for_every_view(bus: MemoryBus) -> None:
    follower = RunsView(bus)
    story = Story(DIAMOND)
    send(bus, *run_messages(story.state))
    follower.refresh()
    send(bus, *follower.removal("r1"))
    follower.refresh()
    assert follower.get("r1") is None
    assert follower.states() == []
    assert read(bus) is None


def test_a_run_may_come_back_after_it_was_removed(bus: MemoryBus) -> None:
    state = Story(DIAMOND).state
    send(bus, *run_messages(state))
    view = RunsView(bus)
    view.refresh()
    send(bus, *view.removal("r1"), *run_messages(state))
    assert read(bus) == state


def test_runs_are_listed_in_the_order_of_submission(bus: MemoryBus) -> None:
    for at_s, run_id in enumerate(("z", "a", "m")):
        send(bus, *run_messages(Story(DIAMOND, run_id=run_id, at_s=float(at_s)).state))
    view = RunsView(bus)
    view.refresh()
    assert [state.run_id for state in view.states()] == ["z", "a", "m"]


def test_a_run_whose_header_is_not_there_yet_is_not_shown(bus: MemoryBus) -> None:
    send(bus, *run_messages(Story(DIAMOND).state, header=False))
    assert read(bus) is None


def test_no_record_grows_with_the_run() -> None:
    state = Story(plan_of({f"s{n}": [] for n in range(500)})).state
    assert max(len(message.value) for message in run_messages(state)) < 40_000


def test_a_record_of_another_version_is_an_error_that_says_so(bus: MemoryBus) -> None:
    send(bus, Message(RUNS, "r1", b'{"from": "the future"}'))
    with pytest.raises(BusError, match="the record of run r1 cannot be read by this version"):
        read(bus)


def test_a_run_that_cannot_be_read_is_named_and_hides_no_other(bus: MemoryBus) -> None:
    good = Story(DIAMOND, run_id="good").state
    send(bus, *run_messages(good), Message(RUNS, "bad", b"{"), Message(RUNS, "worse/z", b"{"))
    view = RunsView(bus)
    view.refresh()
    assert [state.run_id for state in view.states()] == [state.run_id for state in view.unfinished()] == ["good"]
    (fault,) = [why for run_id, why in view.unreadable().items() if run_id == "bad"]
    assert "`modelpress rm bad` forgets the run" in fault
    send(bus, *view.removal("bad"))
    view.refresh()
    assert view.unreadable().keys() <= {"worse"}


def test_a_submission_has_the_records_of_what_it_becomes(bus: MemoryBus) -> None:
    record = submitted(submission(DIAMOND))
    send(bus, *run_messages(record))
    assert read(bus) == record
