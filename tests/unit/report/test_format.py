"""Figures as people read them."""

from __future__ import annotations

import math

import pytest

from modelpress.report import format as fmt


@pytest.mark.parametrize(
    ("n_bytes", "shown"),
    [(0, "0 B"), (999, "999 B"), (57_344, "57.3 KB"), (1_066_000, "1.07 MB"), (2.5e9, "2.50 GB"), (None, "–")],
)
def test_size(n_bytes: float | None, shown: str) -> None:
    assert fmt.size(n_bytes) == shown


@pytest.mark.parametrize(("ms", "shown"), [(9.3, "9.30 ms"), (0.0268, "26.8 µs"), (1234.5, "1,234 ms"), (None, "–")])
def test_latency(ms: float | None, shown: str) -> None:
    assert fmt.latency(ms) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.42, "0.4 s"), (9.97, "10 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")],
)
def test_duration(seconds: float, shown: str) -> None:
    assert fmt.duration(seconds) == shown


@pytest.mark.parametrize(
    ("value", "word", "shown"),
    [(3.1, "faster", "3.10× faster"), (0.5, "faster", "2.00× slower"), (1.003, "smaller", "unchanged")],
)
def test_times_says_the_opposite_below_one(value: float, word: str, shown: str) -> None:
    assert fmt.times(value, word) == shown


@pytest.mark.parametrize(("drop", "shown"), [(0.26, "−0.26 points"), (-1.5, "+1.50 points"), (0.0, "±0.00 points")])
def test_points_have_the_readers_sign(drop: float, shown: str) -> None:
    assert fmt.points(drop) == shown


@pytest.mark.parametrize(
    ("name", "value", "meaning", "shown"),
    [
        ("top1", 92.35, "", "92.35 %"),
        ("agreement", 99.5, "per cent of samples", "99.50 %"),
        ("agreement", 0.995, "share of the checked rows", "0.9950"),
        ("top1_drop_points", 0.26, "percentage points of top1 lost", "0.26"),
        ("reference_size_bytes", 57_344, "", "57.3 KB"),
        ("latency_ratio_b64", 4.9, "", "4.90×"),
        ("parameters", 52_310, "", "52,310"),
        ("difference", 1.2e-7, "", "1.2e-07"),
    ],
)
def test_metrics_get_their_unit(name: str, value: float, meaning: str, shown: str) -> None:
    assert fmt.metric(name, value, meaning) == shown


def test_what_is_not_finite_is_shown_as_it_is() -> None:
    assert fmt.significant(math.inf) == "inf"
    assert fmt.plain(math.nan) == "nan"
    assert fmt.plain(-math.inf) == "-inf"


def test_of_a_choice_what_was_chosen_tells_most() -> None:
    assert fmt.telling(["reference_top1", "agreement", "top1", "size_ratio", "chosen"], 2) == ["chosen", "top1"]
