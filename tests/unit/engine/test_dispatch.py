"""Who gets which place: cores, measurements, priority, fair shares, and one of a kind at a time."""

from __future__ import annotations

from typing import Any

import pytest

from modelpress.engine.dispatch import Dispatcher, Grant, Wait
from modelpress.engine.events import (
    PlaceOffered,
    PlaceWithdrawn,
    StepCommand,
    StepLeft,
    StepReady,
    StepWithdrawn,
)

POOL = "local"


def command(run: str, step: str, attempt: int = 1, **changes: Any) -> StepCommand:
    fields: dict[str, Any] = {"tenant": "t", "uses": "toys/any", "version": 1, "params": {}, "inputs": {}, "seed": 0}
    fields |= {"threads": 1, "key": f"{run}-{step}"}
    return StepCommand(run_id=run, step_id=step, attempt=attempt, **{**fields, **changes})


def ready(run: str, step: str, attempt: int = 1, priority: int = 0, order: float = 0.0, **changes: Any) -> StepReady:
    return StepReady(pool=POOL, priority=priority, order=order, command=command(run, step, attempt, **changes))


def offered(cores: int, partition: int = 0, worker: str = "w") -> PlaceOffered:
    return PlaceOffered(pool=POOL, worker=worker, partition=partition, cores=cores)


def left(run: str, step: str, attempt: int = 1, partition: int = 0, made: bool = False) -> StepLeft:
    return StepLeft(pool=POOL, partition=partition, run_id=run, step_id=step, attempt=attempt, made=made)


def withdrawn(run: str, step: str = "") -> StepWithdrawn:
    return StepWithdrawn(pool=POOL, run_id=run, step_id=step)


def dispatcher(*words: Any) -> Dispatcher:
    made = Dispatcher()
    for word in words:
        made.take(word)
    return made


def granted(pool: Dispatcher) -> list[str]:
    """What is granted now: ``run/step@partition``, and ``run/step~holder`` for what waits."""
    return [
        f"{decision.command.name}@{decision.partition}"
        if isinstance(decision, Grant)
        else f"{decision.command.name}~{decision.holder}"
        for decision in pool.grants()
    ]


def test_without_a_place_nothing_is_granted() -> None:
    pool = dispatcher(ready("r", "a"))
    assert granted(pool) == []
    pool.take(offered(1))
    assert granted(pool) == ["r/a@0"]


def test_what_is_granted_is_granted_once() -> None:
    pool = dispatcher(offered(4), ready("r", "a"))
    assert granted(pool) == ["r/a@0"]
    pool.take(ready("r", "a"))
    assert granted(pool) == []


def test_threads_fill_cores_and_no_more() -> None:
    pool = dispatcher(offered(4), *(ready("r", step, threads=2) for step in "abc"))
    assert granted(pool) == ["r/a@0", "r/b@0"]
    pool.take(left("r", "a"))
    assert granted(pool) == ["r/c@0"]


def test_the_place_with_most_free_cores_is_taken() -> None:
    pool = dispatcher(offered(2, 0), offered(3, 1), *(ready("r", step) for step in "abcde"))
    assert granted(pool) == ["r/a@1", "r/b@0", "r/c@1", "r/d@0", "r/e@1"]


def test_a_step_that_no_place_can_hold_gets_the_largest_to_itself() -> None:
    pool = dispatcher(offered(2, 0), offered(4, 1), ready("r", "big", threads=16), ready("r", "a"))
    assert granted(pool) == ["r/big@1", "r/a@0"]
    pool.take(ready("r", "b", threads=2))
    assert granted(pool) == [], "one core is free, the other place is taken"


def test_a_step_that_some_place_can_hold_waits_for_it() -> None:
    pool = dispatcher(offered(2, 0), offered(4, 1), ready("r", "a", threads=3), ready("r", "b", threads=3))
    assert granted(pool) == ["r/a@1"]
    pool.take(left("r", "a", partition=1))
    assert granted(pool) == ["r/b@1"]


def test_a_place_without_cores_gets_nothing() -> None:
    pool = dispatcher(offered(0, 0), offered(2, 1), ready("r", "a", threads=5), ready("r", "b", threads=5))
    assert granted(pool) == ["r/a@1"]
    assert granted(dispatcher(offered(0), ready("r", "a"))) == []


def test_a_measurement_shares_its_place_with_nothing() -> None:
    pool = dispatcher(offered(4), ready("r", "a"), ready("r", "speed", key="", alone=True), ready("r", "b"))
    assert granted(pool) == ["r/a@0"], "what comes after it does not overtake it for ever"
    pool.take(left("r", "a"))
    assert granted(pool) == ["r/speed@0"]
    pool.take(left("r", "speed"))
    assert granted(pool) == ["r/b@0"]


def test_measurements_are_never_held_for_each_other() -> None:
    pool = dispatcher(offered(1, 0), offered(1, 1), *(ready(run, "m", key="", alone=True) for run in ("r1", "r2")))
    assert granted(pool) == ["r1/m@0", "r2/m@1"]


def test_priority_goes_first_then_who_uses_least_then_who_came_first() -> None:
    words = [ready("late", step, order=2.0) for step in "ab"] + [ready("early", step, order=1.0) for step in "ab"]
    pool = dispatcher(offered(3), *words, ready("urgent", "a", priority=5, order=9.0))
    assert granted(pool) == ["urgent/a@0", "early/a@0", "late/a@0"]
    pool.take(left("early", "a"))
    assert granted(pool) == ["early/b@0"]


def test_shares_count_threads() -> None:
    pool = dispatcher(offered(6), ready("wide", "a", threads=3, order=1.0), ready("wide", "b", threads=1, order=1.0))
    assert granted(pool) == ["wide/a@0", "wide/b@0"]
    for step in "abc":
        pool.take(ready("narrow", step, order=2.0))
    pool.take(ready("wide", "c", order=1.0))
    assert granted(pool) == ["narrow/a@0", "narrow/b@0"]


def test_of_the_same_step_one_is_out_and_the_other_says_what_it_waits_for() -> None:
    pool = dispatcher(offered(4), ready("r1", "a", key="k"), ready("r2", "b", key="k"), ready("r3", "c", key="k"))
    assert granted(pool) == ["r1/a@0", "r2/b~r1/a", "r3/c~r1/a"]
    assert pool.waiting() == 2
    pool.take(left("r1", "a"))
    assert granted(pool) == ["r2/b@0", "r3/c~r2/b"]
    pool.take(left("r2", "b"))
    assert granted(pool) == ["r3/c@0"]
    assert pool.waiting() == 0


def test_of_a_made_key_one_after_the_other_is_granted() -> None:
    pool = dispatcher(offered(4), *(ready(run, "a", key="k") for run in ("r1", "r2", "r3")))
    granted(pool)
    pool.take(left("r1", "a", made=True))
    assert granted(pool) == ["r2/a@0"]
    pool.take(left("r2", "a", made=True))
    assert granted(pool) == ["r3/a@0"]
    assert pool.waiting() == 0


def test_whose_turn_it_is_may_be_withdrawn() -> None:
    pool = dispatcher(offered(1), *(ready(run, "a", key="k") for run in ("r1", "r2", "r3")))
    granted(pool)
    pool.take(left("r1", "a", made=True))
    pool.take(withdrawn("r2"))
    assert granted(pool) == ["r3/a@0"]


def test_a_made_key_goes_from_one_to_the_next_even_when_the_next_needs_another_by_then() -> None:
    pool = dispatcher(offered(1), *(ready(run, "a", key="k") for run in ("r1", "r2", "r3")))
    assert granted(pool) == ["r1/a@0", "r2/a~r1/a", "r3/a~r1/a"]
    pool.take(ready("r0", "x", priority=1))
    pool.take(left("r1", "a", made=True))
    assert granted(pool) == ["r0/x@0"]
    pool.take(ready("r2", "a", attempt=2, key="other"))
    pool.take(left("r0", "x"))
    assert granted(pool) == ["r2/a@0"]
    pool.take(left("r2", "a", attempt=2))
    assert granted(pool) == ["r3/a@0"]


def test_who_waits_for_another_run_needs_no_free_place_to_say_so() -> None:
    pool = dispatcher(offered(1), ready("r1", "a", key="k"), ready("r2", "a", key="k"))
    assert granted(pool) == ["r1/a@0", "r2/a~r1/a"]


@pytest.mark.parametrize("step", ["", "a"])
def test_what_is_withdrawn_is_not_granted(step: str) -> None:
    pool = dispatcher(ready("r1", "a"), ready("r2", "a"), withdrawn("r1", step), offered(4))
    assert granted(pool) == ["r2/a@0"]


def test_one_step_of_a_run_can_be_withdrawn() -> None:
    pool = dispatcher(ready("r", "a"), ready("r", "b"), withdrawn("r", "a"), withdrawn("ghost"), offered(4))
    assert granted(pool) == ["r/b@0"]


def test_what_waits_for_another_run_can_be_withdrawn() -> None:
    pool = dispatcher(offered(4), ready("r1", "a", key="k"), ready("r2", "a", key="k"))
    granted(pool)
    pool.take(withdrawn("r2"))
    pool.take(left("r1", "a"))
    assert granted(pool) == []
    assert pool.waiting() == 0


def test_a_withdrawal_takes_nothing_back_that_is_out() -> None:
    pool = dispatcher(offered(1), ready("r1", "a"))
    granted(pool)
    pool.take(withdrawn("r1"))
    assert [grant.command.name for grant in pool.out()] == ["r1/a"]
    pool.take(ready("r2", "a"))
    assert granted(pool) == [], "its worker has not left it"


def test_the_next_attempt_frees_the_place_of_the_one_before() -> None:
    pool = dispatcher(offered(1, 0), ready("r", "a"))
    granted(pool)
    pool.take(ready("r", "a", attempt=2))
    assert granted(pool) == ["r/a@0"]
    pool.take(left("r", "a", attempt=1))
    assert [grant.command.attempt for grant in pool.out()] == [2], "a late word of the first attempt frees nothing"


def test_the_next_attempt_lets_those_go_on_that_wait_for_it() -> None:
    pool = dispatcher(offered(1), ready("r1", "a", key="k"), ready("r2", "a", key="k"))
    granted(pool)
    pool.take(ready("r1", "a", attempt=2, key="k"))
    assert sorted(granted(pool)) == ["r1/a@0", "r2/a~r1/a"]


def test_a_newer_attempt_goes_before_an_older_one_that_was_not_granted() -> None:
    pool = dispatcher(ready("r", "a", attempt=2), ready("r", "a", attempt=1), offered(1))
    assert [d.command.attempt for d in pool.grants()] == [2]
    pool = dispatcher(ready("r", "a", attempt=1), ready("r", "a", attempt=2), offered(1))
    assert [d.command.attempt for d in pool.grants()] == [2]


def test_a_step_that_left_twice_frees_its_cores_once() -> None:
    pool = dispatcher(offered(2), ready("r", "a"), ready("r", "b"), ready("r", "c"), ready("r", "d"))
    granted(pool)
    pool.take(left("r", "a"))
    pool.take(left("r", "a"))
    assert granted(pool) == ["r/c@0"]


def test_a_withdrawn_place_gets_nothing_more_and_a_new_worker_of_it_does() -> None:
    pool = dispatcher(offered(2), ready("r", "a"), ready("r", "b", threads=2))
    assert granted(pool) == ["r/a@0"]
    pool.take(PlaceWithdrawn(pool=POOL, worker="w", partition=0))
    pool.take(left("r", "a"))
    assert granted(pool) == []
    pool.take(offered(2, worker="w2"))
    assert granted(pool) == ["r/b@0"]


def test_a_late_withdrawal_of_the_worker_before_changes_nothing() -> None:
    pool = dispatcher(offered(1, worker="w1"), offered(1, worker="w2"))
    pool.take(PlaceWithdrawn(pool=POOL, worker="w1", partition=0))
    pool.take(ready("r", "a"))
    assert granted(pool) == ["r/a@0"]


def test_what_was_out_before_a_restart_is_counted() -> None:
    pool = dispatcher(offered(2))
    pool.restore(command("r1", "a", key="k"), 0)
    pool.take(ready("r1", "a", key="k"))
    pool.take(ready("r2", "a", key="k"))
    pool.take(ready("r3", "big", threads=2))
    assert granted(pool) == ["r2/a~r1/a"]
    pool.take(left("r1", "a"))
    assert granted(pool) == ["r2/a@0"]


def test_two_restored_of_one_key_let_others_go_on_when_both_left() -> None:
    pool = dispatcher(offered(4))
    pool.restore(command("r1", "a", key="k"), 0)
    pool.restore(command("r2", "a", key="k"), 0)
    pool.take(ready("r3", "a", key="k"))
    assert granted(pool) == ["r3/a~r2/a"]
    pool.take(left("r1", "a"))
    assert granted(pool) == []
    pool.take(left("r2", "a"))
    assert granted(pool) == ["r3/a@0"]


def test_waits_name_the_command_that_waits() -> None:
    pool = dispatcher(offered(4), ready("r1", "a", key="k"), ready("r2", "b", attempt=3, key="k"))
    _, wait = pool.grants()
    assert isinstance(wait, Wait)
    assert (wait.command.step_id, wait.command.attempt) == ("b", 3)
