"""A worker on its bus: real children, toy methods, a bus in memory."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.manifest import get_manifest
from modelpress.artifacts.report import get_report, put_report
from modelpress.bus.ports import Message
from modelpress.engine.events import (
    PlaceOffered,
    PlaceWithdrawn,
    StepFailed,
    StepInterrupted,
    StepLeft,
    StepLogged,
    StepProgressed,
    StepStarted,
    StepSucceeded,
    steps_topic,
)
from modelpress.worker.children import Children
from tests.integration.workshops import POOL, Workshop

TOPIC = steps_topic(POOL)
Make = Callable[..., Workshop]


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    made = Children((), tmp_path_factory.mktemp("children") / "worker.log", limit=2)
    yield made
    made.close()


@pytest.fixture
def make(tmp_path: Path, children: Children) -> Iterator[Make]:
    """Workshops of one store and one log of the bus."""
    made: list[Workshop] = []

    def _make(**facts: Any) -> Workshop:
        log = made[0].log if made else None
        made.append(Workshop(tmp_path, facts.pop("children", children), log, **facts))
        return made[-1]

    yield _make
    for workshop in made:
        workshop.close()


@pytest.fixture
def shop(make: Make) -> Workshop:
    return make()


def committed(shop: Workshop) -> int:
    """Where the next owner of the first partition would begin."""
    shop.host.close()
    consumer = shop.bus.consumer(f"worker.{POOL}", [TOPIC])
    shop.grant(shop.command("probe"))
    first = consumer.poll(1.0)[0]
    consumer.close()
    return first.offset


def children_of(children: Children) -> list[int]:
    return [child.pid for child in children]


def test_a_step_is_claimed_done_and_accepted(shop: Workshop) -> None:
    command = shop.command("a", value=2.5)
    (outcome,) = shop.do(command)
    started, succeeded = shop.events()
    assert isinstance(started, StepStarted)
    assert (started.worker, started.key) == (shop.host.worker, command.key)
    assert started.facts["python"]
    assert isinstance(succeeded, StepSucceeded)
    assert outcome == succeeded
    assert (succeeded.cached, succeeded.metrics) == (False, {"value": 2.5})
    assert get_report(shop.store, Digest(succeeded.outputs["report"]))["name"] == "a"
    assert [(left.step_id, left.attempt) for left in shop.words(StepLeft)] == [("a", 1)]
    assert not shop.host.busy


def test_what_a_step_says_is_told_and_in_its_log(shop: Workshop) -> None:
    shop.do(shop.command("a"))
    assert [e.text for e in shop.told if isinstance(e, StepLogged)] == ["a works"]
    assert [e.done for e in shop.told if isinstance(e, StepProgressed)] == [0.0]
    assert shop.log_path("r", "a").read_text() == "a writes to standard output\na works\n"


def test_a_cached_step_needs_no_claim_and_no_child(shop: Workshop) -> None:
    (first,) = shop.do(shop.command("a"))
    again = shop.command("a", run_id="r2")
    (second,) = shop.do(again)
    assert isinstance(first, StepSucceeded)
    assert isinstance(second, StepSucceeded)
    assert (second.cached, second.outputs) == (True, first.outputs)
    assert shop.types() == ["step-started", "step-succeeded", "step-succeeded"]
    assert shop.executed() == ["a"]


def test_a_damaged_cached_result_is_made_again(shop: Workshop) -> None:
    (first,) = shop.do(shop.command("a"))
    assert isinstance(first, StepSucceeded)
    blob = get_manifest(shop.store, Digest(first.outputs["report"])).layers[0].digest
    shop.store.blobs.discard(Digest(blob))
    (second,) = shop.do(shop.command("a", run_id="r2"))
    assert isinstance(second, StepSucceeded)
    assert (second.cached, second.outputs) == (False, first.outputs)
    assert shop.executed() == ["a", "a"]
    assert f"{blob} of an earlier result is missing or corrupt" in shop.log_path("r2", "a").read_text()


def test_a_port_that_takes_many_gets_a_list_in_order(shop: Workshop) -> None:
    sources = tuple(put_report(shop.store, {"n": n}) for n in (2, 1))
    (outcome,) = shop.do(shop.command("a", "gather", inputs={"sources": sources}))
    assert isinstance(outcome, StepSucceeded)
    assert get_report(shop.store, Digest(outcome.outputs["report"]))["sources"] == [{"n": 2}, {"n": 1}]


def test_broken_inputs_are_named_by_port(shop: Workshop) -> None:
    whole, broken = put_report(shop.store, {"n": 1}), put_report(shop.store, {"n": 2})
    blob = get_manifest(shop.store, broken).layers[0].digest
    shop.store.blobs.discard(Digest(blob))
    (outcome,) = shop.do(shop.command("a", "join", inputs={"left": whole, "right": broken}))
    assert isinstance(outcome, StepInterrupted)
    assert (outcome.why, outcome.broken) == ("inputs", {"right": (blob,)})
    assert blob in outcome.reason


def test_a_measurement_is_keyed_by_its_target(shop: Workshop, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.do(shop.command("m", "measure"))
    shop.do(shop.command("m", "measure", run_id="r2"))
    assert shop.executed() == ["m"]
    shop.host.close()
    monkeypatch.setattr("modelpress.worker.admission.target_fingerprint", lambda: "sha256:another-machine")
    other = make()
    other.do(other.command("m", "measure", run_id="r3"))
    assert shop.executed() == ["m", "m"]


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        ("value", "step-failed", "ValueError: a kernel's own error"),
        ("data", "step-failed", "labels out of range"),
        ("full", "step-failed", "then `modelpress resume r` goes on"),
        ("retryable", "step-interrupted", "the licence server is busy"),
        ("death", "step-interrupted", "was killed by SIGKILL; the last that the step wrote: a works"),
        ("exit", "step-interrupted", "ended with code 3"),
    ],
)
def test_faults_end_an_attempt_each_in_its_way(shop: Workshop, fault: str, kind: str, message: str) -> None:
    (outcome,) = shop.do(shop.command("a", fault=fault))
    assert outcome.type == kind
    assert message in (outcome.error if isinstance(outcome, StepFailed) else getattr(outcome, "reason", ""))
    if isinstance(outcome, StepInterrupted):
        assert outcome.why == ("retryable" if fault == "retryable" else "died")
        assert outcome.reason in shop.log_path("r", "a").read_text()
    (after_it,) = shop.do(shop.command("b"))
    assert isinstance(after_it, StepSucceeded)


def test_a_child_is_used_again_unless_its_kernel_failed(shop: Workshop, children: Children) -> None:
    shop.do(shop.command("a"))
    before = children_of(children)
    shop.do(shop.command("b"), shop.command("c", fault="data"))
    assert children_of(children) == before
    shop.do(shop.command("d", fault="value"))
    shop.do(shop.command("e"))
    assert not set(children_of(children)) & set(before)


@pytest.mark.parametrize(("patience_s", "count"), [(3600.0, 1), (0.0, 2)])
def test_another_child_is_started_for_a_step_that_has_waited(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience_s: float, count: int
) -> None:
    monkeypatch.setattr("modelpress.worker.bench.PATIENCE_S", patience_s)
    with closing(Children((), tmp_path / "own.log", limit=2)) as children:
        shop = make(children=children)
        commands = [shop.command(name, wait_for=str(shop.release)) for name in "ab"]
        shop.grant(*commands)
        shop.until(lambda: len(shop.executed()) == count)
        assert len(children) == count
        shop.release.touch()
        shop.until(lambda: all(shop.outcome(command) for command in commands))
        assert len(children) == count


def test_metrics_may_be_no_numbers(shop: Workshop) -> None:
    outcomes = shop.do(shop.command("a", "nan"), shop.command("b", "nan", kind="inf"))
    assert [type(outcome) for outcome in outcomes] == [StepSucceeded, StepSucceeded]
    first, second = (getattr(outcome, "metrics", {})["value"] for outcome in outcomes)
    assert math.isnan(first)
    assert second == math.inf


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"version": 2}, "'toys/emit' was planned as version 2, installed is 1: submit again"),
        ({"uses": "toys/emitt"}, "unknown method 'toys/emitt': did you mean 'toys/emit'?"),
        ({"tenant": "other"}, "of tenant 'other', this worker serves 'default'"),
    ],
)
def test_what_cannot_be_done_here_fails(shop: Workshop, facts: dict[str, Any], message: str) -> None:
    (outcome,) = shop.do(shop.command("a", **facts))
    assert isinstance(outcome, StepFailed)
    assert message in outcome.error
    assert shop.types() == ["step-failed"]


def test_a_record_that_is_no_command_becomes_a_dead_letter_and_is_skipped(shop: Workshop) -> None:
    shop.bus.producer().send([Message(TOPIC, "r", b"{}", 0)])
    shop.do(shop.command("a"))
    (letter,) = shop.letters()
    assert (letter.topic, letter.partition, letter.value) == (TOPIC, 0, "e30=")
    assert "holds no command" in letter.error
    assert committed(shop) == 2


def test_two_steps_run_at_once_and_a_third_waits_for_cores(shop: Workshop) -> None:
    wait: dict[str, Any] = {"wait_for": str(shop.release)}
    commands = [shop.command(name, **wait) for name in "abc"]
    shop.grant(*commands)
    shop.until(lambda: sorted(shop.executed()) == ["a", "b"])
    assert shop.types() == ["step-started"] * 2
    shop.release.touch()
    shop.until(lambda: all(shop.outcome(command) for command in commands))
    assert sorted(shop.executed()) == ["a", "b", "c"]


def test_a_step_that_runs_alone_takes_all_cores(shop: Workshop) -> None:
    wait: dict[str, Any] = {"wait_for": str(shop.release)}
    shop.grant(shop.command("m", "measure", alone=True, **wait), shop.command("b"))
    shop.until(lambda: shop.executed() == ["m"])
    shop.host.advance()
    assert shop.types() == ["step-started"]
    shop.release.touch()
    shop.until(lambda: shop.outcome(shop.command("b")))
    assert shop.types() == ["step-started", "step-succeeded"] * 2


def test_the_same_attempt_granted_twice_is_done_once(shop: Workshop) -> None:
    command = shop.command("a", wait_for=str(shop.release))
    shop.grant(command, command)
    shop.until(lambda: shop.executed() == ["a"])
    shop.release.touch()
    shop.until(lambda: not shop.host.busy)
    assert shop.types() == ["step-started", "step-succeeded"]
    assert len(shop.words(StepLeft)) == 1
    assert committed(shop) == 2


def test_the_group_is_not_moved_beyond_a_command_in_flight(shop: Workshop) -> None:
    shop.grant(shop.command("a", wait_for=str(shop.release)), shop.command("b"))
    shop.until(lambda: shop.outcome(shop.command("b")))
    assert committed(shop) == 0


def test_a_host_that_is_closed_leaves_its_command_to_the_next(shop: Workshop, make: Make) -> None:
    shop.grant(shop.command("a", wait_for=str(shop.release)))
    shop.until(lambda: shop.executed() == ["a"])
    shop.host.close()
    shop.host.close()
    shop.release.touch()
    heir = make()
    heir.until(lambda: heir.outcome(heir.command("a")))
    assert [type(event) for event in heir.events()] == [StepStarted, StepStarted, StepSucceeded]
    assert {event.worker for event in heir.events()[:2]} == {shop.host.worker, heir.host.worker}


def test_cancel_kills_the_step_and_tells_nothing_of_it(shop: Workshop, children: Children) -> None:
    shop.grant(shop.command("a", "hang"), shop.command("b", "hang", run_id="r2"))
    shop.until(lambda: len(shop.executed()) == 2)
    before = children_of(children)
    shop.cancel("r")
    shop.until(lambda: shop.words(StepLeft))
    assert [left.run_id for left in shop.words(StepLeft)] == ["r"]
    assert len(set(children_of(children)) & set(before)) == 1
    shop.cancel("r2", "b", attempt=2)
    shop.cancel("r2", "b", attempt=1)
    shop.until(lambda: not shop.host.busy)
    assert shop.types() == ["step-started"] * 2
    assert committed(shop) == 2


def test_what_was_cancelled_before_it_came_does_not_begin(shop: Workshop) -> None:
    shop.cancel("r")
    shop.until(lambda: shop.host.advance())
    shop.grant(shop.command("a"))
    shop.until(lambda: shop.words(StepLeft))
    assert shop.executed() == []
    assert shop.events() == []


def test_nothing_is_accepted_that_is_no_longer_wanted(make: Make) -> None:
    wanted = [True]
    shop = make(wanted=lambda command: wanted[0])
    command = shop.command("a", wait_for=str(shop.release))
    shop.grant(command)
    shop.until(lambda: shop.executed() == ["a"])
    wanted[0] = False
    shop.release.touch()
    shop.until(lambda: shop.words(StepLeft))
    assert shop.types() == ["step-started"]
    assert shop.store.results.get(command.key) is None


def test_a_result_that_another_wrote_first_is_adopted(shop: Workshop) -> None:
    command = shop.command("a", wait_for=str(shop.release))
    shop.grant(command)
    shop.until(lambda: shop.executed() == ["a"])
    first = put_report(shop.store, {"made": "by another"})
    shop.store.results.create(command.key, f'{{"outputs":{{"report":"{first}"}},"metrics":{{"value":7.0}}}}'.encode())
    shop.release.touch()
    shop.until(lambda: shop.outcome(command))
    outcome = shop.outcome(command)
    assert isinstance(outcome, StepSucceeded)
    assert (outcome.outputs, outcome.metrics) == ({"report": first}, {"value": 7.0})


def test_a_step_that_takes_too_long_fails(shop: Workshop) -> None:
    (outcome,) = shop.do(shop.command("a", "hang", timeout_s=0.2))
    assert isinstance(outcome, StepFailed)
    assert outcome.error == "timed out after 0.2 s, its limit from 'timeout'"


def test_a_step_that_hangs_is_interrupted(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelpress.worker.watch.HUNG_AFTER_S", 0.5)
    (outcome,) = shop.do(shop.command("a", "hang"))
    assert isinstance(outcome, StepInterrupted)
    assert outcome.why == "died"
    assert "it had not used the processor for 0.5 s" in outcome.reason


def test_a_step_that_takes_too_much_memory_fails(shop: Workshop) -> None:
    never = str(shop.release)
    (outcome,) = shop.do(shop.command("a", "hog", megabytes=300, memory_mb=250, wait_for=never))
    assert isinstance(outcome, StepFailed)
    assert outcome.error == "needed more than 250 MB, its limit from 'resources.memory'"


def test_steps_that_together_take_too_much_make_way_for_each_other(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelpress.worker.host.available_bytes", lambda: 400 * 10**6)
    shop = make()
    small = shop.command("small", "hog", megabytes=50, wait_for=str(shop.release))
    large = shop.command("large", "hog", megabytes=300, wait_for=str(shop.release))
    shop.grant(small, large)
    shop.until(lambda: shop.outcome(large))
    outcome = shop.outcome(large)
    assert isinstance(outcome, StepInterrupted)
    assert outcome.why == "retryable"
    assert "MB while other steps ran beside it" in outcome.reason
    assert not shop.outcome(small)
    shop.release.touch()
    shop.until(lambda: shop.outcome(small))
    (alone,) = shop.do(shop.command("huge", "hog", megabytes=400, wait_for=str(shop.root / "never")))
    assert isinstance(alone, StepFailed)
    assert alone.error == "needed more than 360 MB, 90% of the memory that there is"


@pytest.fixture
def _little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children may keep 100 MB."""
    monkeypatch.setattr("modelpress.worker.children.GROWN_BYTES", 100 * 10**6)
    monkeypatch.setattr("modelpress.worker.children.available_bytes", lambda: 0)


@pytest.mark.usefixtures("_little_memory")
def test_a_child_that_keeps_too_much_is_replaced(make: Make, tmp_path: Path) -> None:
    with closing(Children((), tmp_path / "own.log", limit=1)) as children:
        shop = make(children=children, cores=1)
        shop.do(shop.command("a", "hog", megabytes=50, keep=True))
        before = children_of(children)
        shop.do(shop.command("b", "hog", megabytes=200))
        assert children_of(children) == before
        shop.do(shop.command("c", "hog", megabytes=200, keep=True))
        assert children_of(children) != before


def test_a_log_that_grows_too_large_keeps_its_ends(shop: Workshop) -> None:
    shop.do(shop.command("a", "chatter", lines=20, line_bytes=10**6))
    log = shop.log_path("r", "a")
    text = log.read_bytes()
    assert len(text) < 3 * 1024**2
    assert text.startswith(b"xxx")
    assert b"MB of this log were dropped here" in text


def test_leases_are_renewed_while_a_step_runs(make: Make) -> None:
    shop = make(lease_s=0.3)
    shop.grant(shop.command("a", "hang"))
    shop.until(lambda: shop.types().count("step-renewed") >= 2)
    assert shop.types()[0] == "step-started"


def test_progress_is_thinned_for_the_bus_only(shop: Workshop) -> None:
    shop.do(shop.command("n", "count", epochs=5))
    told = [word.done for word in shop.told if isinstance(word, StepProgressed)]
    published = [word.done for word in shop.progress()]
    assert (told[0], told[-1]) == (published[0], published[-1]) == (1.0, 5.0)
    assert len(published) <= len(told)


def test_training_goes_on_from_its_checkpoint_after_a_death(shop: Workshop, children: Children) -> None:
    shop.grant(shop.command("n", "count", wait_for=str(shop.release)))
    shop.until(lambda: shop.executed() == ["n:0", "n:1"])
    for pid in children_of(children):
        os.kill(pid, signal.SIGKILL)
    shop.until(lambda: shop.outcome(shop.command("n", "count")))
    shop.release.touch()
    (outcome,) = shop.do(shop.command("n", "count", attempt=2, wait_for=str(shop.release)))
    assert isinstance(outcome, StepSucceeded)
    assert shop.executed() == ["n:0", "n:1", "n:2", "n:3"]


def test_places_are_offered_with_all_cores_between_them(make: Make) -> None:
    shop = make(partitions=2, cores=3)
    shop.until(lambda: len(shop.words(PlaceOffered)) == 2)
    assert [(o.partition, o.cores, o.worker) for o in shop.words(PlaceOffered)] == [
        (0, 2, shop.host.worker),
        (1, 1, shop.host.worker),
    ]


def test_a_lost_partition_takes_its_work_along(make: Make, tmp_path: Path) -> None:
    first = make(partitions=2)
    command = first.command("a", wait_for=str(first.release))
    first.until(lambda: len(first.words(PlaceOffered)) == 2)
    first.grant(command, partition=0)
    first.grant(command.model_copy(update={"run_id": "r2"}), partition=1)
    first.until(lambda: len(first.executed()) == 2)
    with closing(Children((), tmp_path / "other.log", limit=1)) as children:
        second = make(partitions=2, children=children)

        def both(condition: Callable[[], bool]) -> bool:
            first.host.advance()
            return condition()

        second.until(lambda: both(lambda: len(second.events()) == 3))
        first.release.touch()
        second.until(lambda: both(lambda: second.types().count("step-succeeded") == 2))
    claims = [event.worker for event in second.events() if isinstance(event, StepStarted)]
    assert claims == [first.host.worker] * 2 + [second.host.worker]


def test_stopping_takes_nothing_new_and_lets_steps_end(shop: Workshop) -> None:
    running = shop.command("a", wait_for=str(shop.release))
    shop.grant(running)
    shop.until(lambda: shop.executed() == ["a"])
    shop.host.stop(60.0)
    assert [w.partition for w in shop.words(PlaceWithdrawn)] == [0]
    shop.grant(shop.command("b"))
    shop.release.touch()
    shop.until(lambda: not shop.host.busy)
    assert isinstance(shop.outcome(running), StepSucceeded)
    assert shop.executed() == ["a"]
    assert committed(shop) == 1


def test_stopping_releases_what_does_not_end(shop: Workshop) -> None:
    command = shop.command("a", "hang")
    shop.grant(command)
    shop.until(lambda: shop.executed() == ["a"])
    shop.host.stop(0.0)
    shop.until(lambda: not shop.host.busy)
    outcome = shop.outcome(command)
    assert isinstance(outcome, StepInterrupted)
    assert outcome.why == "released"


def test_a_child_that_cannot_start_fails_the_step_that_waits(make: Make, tmp_path: Path) -> None:
    with closing(Children(("no_such_module",), tmp_path / "own.log", limit=1)) as children:
        shop = make(children=children, cores=1)
        (outcome,) = shop.do(shop.command("a"))
        assert isinstance(outcome, StepFailed)
        assert "no worker can start" in outcome.error
        assert "No module named 'no_such_module'" in outcome.error
        assert shop.types() == ["step-failed"]


def test_two_seeds_give_two_training_runs_and_equal_ones_the_same(shop: Workshop) -> None:
    commands = [shop.command("n", "train", seed=seed, step_id=f"s{seed}") for seed in (1, 2)]
    first, second = shop.do(*commands)
    assert isinstance(first, StepSucceeded)
    assert isinstance(second, StepSucceeded)
    assert first.outputs != second.outputs


def test_an_idle_host_can_sleep(shop: Workshop) -> None:
    shop.do(shop.command("a"))
    while shop.host.advance():
        pass
    assert shop.host.due_s() > time.monotonic()
