import gc

import numpy as np
import pytest

from modelpress.measure.rounds import MIN_ROUNDS, Timing, ratio, take_turns


def timing(*rounds_ms: float) -> Timing:
    rounds = np.array(rounds_ms)
    return Timing(np.repeat(rounds, 3), rounds)


def test_sides_take_turns_and_the_order_turns_too() -> None:
    called: list[str] = []
    timings = take_turns({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, seconds=1e-6).sides
    assert set(timings) == {"a", "b"}
    assert len(timings["a"].rounds_ms) == len(timings["b"].rounds_ms) == MIN_ROUNDS
    turns = [name for i, name in enumerate(called) if i == 0 or called[i - 1] != name]
    # Warm-up of a, of b; then a b | b a | a b ...: where a round begins with the side that ended the last, turns join.
    assert turns == ["a", "b", "a", "b", "a", "b", "a", "b", "a", "b"]
    assert len(timings["a"].calls_ms) == MIN_ROUNDS * (len(timings["a"].calls_ms) // MIN_ROUNDS)


def test_garbage_collection_is_off_in_the_rounds_and_on_after() -> None:
    seen: list[bool] = []
    take_turns({"a": lambda: seen.append(gc.isenabled())}, seconds=1e-6)
    assert seen[-1] is False
    assert gc.isenabled()


def test_the_ratio_is_taken_within_rounds() -> None:
    """The machine slows down tenfold midway: the ratio of each round stays 2, that of the medians would not be."""
    found = ratio(timing(2, 2, 2, 20, 20, 20, 20), timing(1, 1, 1, 10, 10, 10, 10))
    assert (found.median, found.low, found.high) == (2, 2, 2)


def test_a_ratio_is_of_whole_turns_so_that_calls_that_slip_between_other_work_flatter_nobody() -> None:
    """Other work takes every second millisecond: a call of 1 ms is disturbed or not, one of 10 ms always is."""
    quick = Timing(np.array([1.0, 3.0] * 6), np.array([1.0] * 3))
    slow = Timing(np.array([20.0] * 6), np.array([20.0] * 3))
    assert slow.median_ms / quick.median_ms == 20
    assert ratio(slow, quick).median == 10


def test_the_interval_holds_the_median_and_grows_with_the_spread() -> None:
    rng = np.random.default_rng(0)
    other = timing(*np.ones(50))
    narrow, wide = (ratio(timing(*(2 + width * rng.standard_normal(50))), other) for width in (0.01, 0.2))
    for found in (narrow, wide):
        assert found.low <= found.median <= found.high
    assert wide.high - wide.low > 5 * (narrow.high - narrow.low)


def test_figures_of_a_side_by_hand() -> None:
    side = timing(1, 2, 3, 4, 5)
    assert side.median_ms == 3
    assert side.noise == pytest.approx(2 / 3)
    assert side.percentile_ms(50) == 3
