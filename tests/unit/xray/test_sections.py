"""What the page's pictures are made of: the front, the bars, the areas, the gains."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelpress.report.plot import Box, place_labels
from modelpress.xray.sections import axes, frozen, layers
from modelpress.xray.sections.gains import Gain, fastest, gain
from modelpress.xray.sections.pareto import front, pareto, points_of
from modelpress.xray.sections.treemap import squarify
from tests.unit.xray import samples


@pytest.mark.parametrize(("ratio", "found"), [(1.5, Gain.FASTER), (1.02, Gain.NONE), (0.5, Gain.SLOWER)])
def test_a_gain_is_what_the_whole_interval_says(ratio: float, found: Gain) -> None:
    assert gain(samples.latency(1, 10.0, ratio)) is found


def test_the_fastest_may_differ_by_batch_and_may_be_nobody() -> None:
    resnet = samples.resnet()
    names = [best.name for batch in resnet.batches if (best := fastest(resnet, batch))]
    assert names == ["width 1/2, int8", "width 3/8, int8"]
    assert fastest(samples.mlp(), 1) is None


def test_the_front_is_what_nothing_beats_in_both() -> None:
    assert [p.label for p in front(points_of(samples.resnet(), 1))] == ["width 1/2, int8", "width 3/8, int8"]


def test_candidates_without_a_latency_are_not_on_the_plot() -> None:
    extreme = samples.extreme("lonely")
    assert "lonely's own" not in [p.label for p in points_of(extreme, 1)]
    alone = replace(extreme, candidates=extreme.candidates[:1])
    assert pareto(alone, 1) is None


def test_the_ends_of_an_interval_are_the_dense_time_over_the_ratios_ends() -> None:
    half = points_of(samples.resnet(), 1)[4]
    assert (half.low_ms, half.ms, half.high_ms) == pytest.approx((38.4 / 3.64, 38.4 / 3.5, 38.4 / 3.36))


def test_small_layers_are_grouped_and_nothing_is_lost() -> None:
    found = samples.resnet().layers
    bars = layers.bars(found)
    assert [bar.grouped for bar in bars] == [False] * layers.MOST_BARS + [True]
    assert bars[-1].path == "the rest, 38 layers"
    assert sum(bar.dense or 0 for bar in bars) == pytest.approx(sum(x.dense_us or 0 for x in found))
    assert sum(bar.best or 0 for bar in bars) == pytest.approx(sum(x.best_us or 0 for x in found))


def test_bars_fall_back_to_macs_without_a_second_side() -> None:
    bars = layers.bars([replace(x, dense_us=None) for x in samples.resnet().layers])
    assert bars[0].best is None
    assert bars[0].dense == max(x.macs for x in samples.resnet().layers)
    assert "multiply-accumulates" in layers.note(samples.extreme())


def test_what_only_the_candidate_runs_is_ranked_by_its_own_time() -> None:
    norm, added = (
        replace(samples.mlp().layers[0], path=name, dense_us=None, best_us=None) for name in ("norm", "Cast")
    )
    found = layers.bars([*samples.mlp().layers, norm, replace(added, best_us=9.0)])
    assert [bar.path for bar in found] == ["Cast", "first", "second", "norm"]
    assert (found[0].dense, found[3].best) == (None, None)
    chart = layers.chart(replace(samples.mlp(), layers=(*samples.mlp().layers, replace(added, best_us=9.0))))
    assert chart is not None
    assert "<b>–</b>" in chart
    assert "<b>9.00 µs</b>" in chart


def test_many_equal_layers_still_show_the_dearest() -> None:
    assert [bar.grouped for bar in layers.bars(samples.extreme().layers)].index(True) == layers.LEAST_BARS


def test_a_long_path_keeps_its_ends() -> None:
    short = layers.shortened("encoder.blocks.0." + "x" * 100 + ".attention.query")
    assert len(short) == layers.LONGEST_PATH
    assert short.startswith("encoder.blocks.0…")
    assert short.endswith(".attention.query")


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=60))
def test_a_treemap_fills_its_room_with_the_areas_asked_for(areas: list[float]) -> None:
    ordered = sorted(areas, reverse=True)
    placed = squarify(ordered, 300, 100)
    scale = 300 * 100 / sum(areas)
    assert [p.width * p.height for p in placed] == pytest.approx([scale * a for a in ordered], rel=1e-3, abs=1e-3)
    assert all(p.left + p.width <= 300.001 and p.top + p.height <= 100.001 for p in placed)
    assert all(min(p.left, p.top) >= 0 for p in placed)


def test_the_example_of_the_paper() -> None:
    placed = squarify([6, 6, 4, 3, 2, 2, 1], 6, 4)
    assert [(p.left, p.top) for p in placed[:3]] == [(0, 0), (0, 2), (3, 0)]
    assert (placed[0].width, placed[0].height) == (3, 2)
    assert placed[2].height == pytest.approx(7 / 3)


def test_axes_beyond_the_most_share_a_cell_and_those_without_parameters_have_one() -> None:
    many = [replace(samples.resnet().axes[0], name=f"a{i}", parameters=i) for i in range(axes.MOST_CELLS + 20)]
    picture = axes.treemap(many)
    assert picture is not None
    assert picture.count('class="cell"') == axes.MOST_CELLS + 1
    assert 'title="20 smaller axes, 190 parameters"' in picture


def test_hovering_an_axis_tells_what_hangs_on_it() -> None:
    axis = replace(samples.mlp().axes[0], layers=tuple(f"l{i}" for i in range(10)))
    tip = axes.tip(axis)
    assert tip.startswith("first\n32 indices, 672 parameters\nremoval is approximate: aten.softmax\nl0\n")
    assert tip.endswith("l7\nand 2 more")


@given(st.lists(st.tuples(st.floats(60, 380), st.floats(20, 250)), min_size=1, max_size=12))
def test_labels_are_placed_clear_of_each_other(points: list[tuple[float, float]]) -> None:
    boxes = place_labels(points, [(70.0, 14.0)] * len(points))
    assert all(box.outside() == 0 for box in boxes)
    assert total_overlap(boxes) == 0


def total_overlap(boxes: list[Box]) -> float:
    return sum(a.overlap(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_reasons_go_by_the_weights_that_they_keep_whole() -> None:
    found = frozen.reasons(samples.resnet().frozen)
    assert [(r.axes, r.parameters, r.whole) for r in found] == [
        (("layer4.attend.q", "layer4.attend.k"), 4096, 4096),
        (("fc.out",), 2_049_000, 1000),
        (("conv1.in",), 9408, 0),
    ]
    assert found[0].line == "model.py:42: best = scores.topk(8)"


@pytest.mark.parametrize(("share", "text"), [(1.0, "100 %"), (0.99996, "99.9 %"), (0.978, "97.8 %"), (0.0, "0 %")])
def test_only_all_is_a_hundred_percent(share: float, text: str) -> None:
    assert axes.percent(share) == text
