"""How training went."""

from __future__ import annotations

import math
from typing import Any

from modelpress.artifacts.memory import MemoryStore
from modelpress.catalogue import load_catalogue
from modelpress.engine.events import StepProgressed
from modelpress.report.curves import MAX_POINTS, curves, draw, thinned
from modelpress.report.facts import gather
from modelpress.report.page import render
from tests.unit.report.samples import run_state


def word(done: float, attempt: int = 1, **metrics: float) -> StepProgressed:
    facts: dict[str, Any] = {"run_id": "r", "at_s": done, "step_id": "recover", "attempt": attempt}
    return StepProgressed(**facts, stage="train", done=done, total=8, metrics=metrics)


def test_a_curve_for_each_metric() -> None:
    words = [word(1, loss=0.9, seconds_left=9), word(2, loss=0.5, top1=80, seconds_left=8), word(3, loss=0.4, top1=85)]
    found = {c.metric: c.points for c in curves(words)}
    assert found == {"loss": ((1, 0.9), (2, 0.5), (3, 0.4)), "top1": ((2, 80), (3, 85))}


def test_attempts_that_were_cut_short_do_not_count() -> None:
    words = [word(1, loss=5), word(2, loss=4), word(1, attempt=2, loss=0.9), word(2, attempt=2, loss=0.8)]
    assert [c.points for c in curves(words)] == [((1, 0.9), (2, 0.8))]


def test_a_single_point_and_what_is_no_number_make_no_curve() -> None:
    assert curves([word(1, loss=0.9), word(2, loss=math.nan)]) == []


def test_long_curves_are_thinned_and_keep_their_end() -> None:
    points = [(float(i), 1.0) for i in range(10 * MAX_POINTS)]
    assert len(thinned(points)) <= MAX_POINTS + 1
    assert thinned(points)[-1] == points[-1]


def test_a_flat_curve_is_drawn() -> None:
    (flat,) = curves([word(1, loss=0.5), word(2, loss=0.5)])
    assert "nan" not in draw(flat)


def test_the_page_shows_them() -> None:
    progress = [word(1, loss=0.9), word(2, loss=0.5)]
    page = render(gather(run_state(), MemoryStore(), load_catalogue(), progress))
    assert page.count('class="curve"') == 1
    assert "recover: loss from 0.9000 to 0.5000" in page
