"""What the benchmark `kill` counts."""

from __future__ import annotations

from typing import Any

from benchmarks.engine.audit import accepted_twice, epochs_redone
from modelpress.artifacts.memory import MemoryStore
from modelpress.engine.events import Event, StepLogged, StepProgressed, StepStarted, StepSucceeded
from modelpress.worker.results import StepResult

A, B = (f"sha256:{letter * 64}" for letter in "ab")
KEY = "0" * 64


def about(attempt: int = 1, run_id: str = "run") -> dict[str, Any]:
    return {"run_id": run_id, "at_s": 0.0, "step_id": "train", "attempt": attempt}


def started() -> Event:
    return StepStarted(**about(), key=KEY, worker="w")


def goes_on(epoch: int) -> Event:
    return StepLogged(**about(), text=f"training goes on after epoch {epoch} of 10")


def done(*epochs: float) -> list[Event]:
    return [StepProgressed(**about(), stage="train", done=epoch, total=10) for epoch in epochs]


def succeeded(digest: str, *, attempt: int = 1, cached: bool = False) -> StepSucceeded:
    return StepSucceeded(**about(attempt), key=KEY, outputs={"model": digest}, cached=cached)


def test_an_undisturbed_training_redoes_nothing() -> None:
    assert epochs_redone([started(), *done(1, 2, 3)]) == 0


def test_the_epoch_that_was_cut_off_is_begun_twice() -> None:
    assert epochs_redone([started(), *done(1, 2, 2.5), started(), goes_on(2), *done(3, 4)]) == 1


def test_an_epoch_that_was_saved_but_not_told_is_not_redone() -> None:
    assert epochs_redone([started(), *done(1, 2), started(), goes_on(3), *done(4)]) == 0


def test_a_training_that_begins_anew_redoes_all_it_had() -> None:
    assert epochs_redone([started(), *done(1, 2, 3), started(), *done(1, 2)]) == 4


def test_the_worst_of_several_restarts_counts() -> None:
    events = [started(), *done(1, 2, 3), started(), goes_on(1), *done(2, 3), started(), goes_on(3), *done(4)]
    assert epochs_redone(events) == 3


def test_a_restart_without_an_epoch_left_redoes_none() -> None:
    assert epochs_redone([started(), *done(9, 10), started(), goes_on(10)]) == 0


def test_one_acceptance_and_its_adoption_are_one() -> None:
    store = MemoryStore()
    store.results.create(KEY, StepResult(outputs={"model": A}).to_bytes())
    assert not accepted_twice([succeeded(A), succeeded(A, cached=True)], store)


def test_a_fact_that_is_told_again_is_one() -> None:
    assert not accepted_twice([succeeded(A), succeeded(A)], MemoryStore())


def test_two_attempts_that_were_both_computed_are_twice() -> None:
    assert accepted_twice([succeeded(A), succeeded(A, attempt=2)], MemoryStore()) == {KEY}


def test_results_that_differ_are_twice() -> None:
    assert accepted_twice([succeeded(A), succeeded(B, cached=True)], MemoryStore()) == {KEY}


def test_a_stored_result_that_differs_from_the_fact_is_twice() -> None:
    store = MemoryStore()
    store.results.create(KEY, StepResult(outputs={"model": B}).to_bytes())
    assert accepted_twice([succeeded(A)], store) == {KEY}
