from __future__ import annotations

from modelpress.engine.events import StepProgressed
from modelpress.worker.attempt import ProgressThinner


def word(stage: str, done: float, total: float = 100.0) -> StepProgressed:
    return StepProgressed(run_id="r", at_s=0.0, step_id="s", attempt=1, stage=stage, done=done, total=total)


def told(*words: tuple[StepProgressed, float]) -> list[tuple[str, float]]:
    """What goes out of words at times, and at the end."""
    thinner = ProgressThinner()
    out = [due for each, at_s in words for due in thinner.tell(each, at_s)]
    return [(due.stage, due.done) for due in (*out, *thinner.rest(), *thinner.rest())]


def test_one_a_second_goes_out() -> None:
    words = [(word("train", float(n)), n * 0.3) for n in range(9)]
    assert told(*words) == [("train", n) for n in (0.0, 4.0, 8.0)]


def test_the_first_and_the_last_of_a_stage_go_out() -> None:
    words = [word("train", 1), word("train", 2), word("train", 100), word("check", 1), word("check", 2)]
    assert told(*((each, 5.0) for each in words)) == [
        ("train", 1.0),
        ("train", 100.0),
        ("check", 1.0),
        ("check", 2.0),
    ]


def test_the_last_of_a_stage_that_did_not_finish_goes_out_before_the_next() -> None:
    words = [word("train", 1), word("train", 2), word("train", 3), word("check", 1)]
    assert told(*((each, 5.0) for each in words)) == [("train", 1.0), ("train", 3.0), ("check", 1.0)]


def test_nothing_said_is_nothing_told() -> None:
    assert told() == []


def test_a_stage_that_says_its_end_again_and_again_is_thinned() -> None:
    """So is one of no known length, whose every word would be its last."""
    for total in (0.0, 5.0):
        words = [(word("train", 5.0 + n, total), n * 0.3) for n in range(9)]
        assert told(*words) == [("train", 5.0 + n) for n in (0.0, 4.0, 8.0)]
