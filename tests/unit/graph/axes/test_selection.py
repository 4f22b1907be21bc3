"""Scores of groups and how many stay, on cases worked out by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from modelpress.errors import InputError
from modelpress.graph.axes import analyse, group_scores, keep_best, keep_count
from tests.unit.graph.axes.nets import lifted, model


def test_a_group_is_worth_the_sum_over_what_is_tied_to_it() -> None:
    source = lifted(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)), 2)
    axes = analyse(source)
    scores = {
        "0.weight": torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
        "0.bias": torch.tensor([10.0, 20.0, 30.0]),
        "2.weight": torch.tensor([[100.0, 200.0, 300.0], [400.0, 500.0, 600.0]]),
    }
    assert group_scores(axes, axes.axis("0.out"), scores).tolist() == [513.0, 727.0, 941.0]
    assert group_scores(axes, axes.axis("0.out"), {"0.bias": scores["0.bias"]}).tolist() == [10.0, 20.0, 30.0]


def test_a_flattened_channel_is_worth_all_its_columns() -> None:
    axes = analyse(model("lenet"))
    worth = group_scores(axes, axes.axis("conv2.out"), {"fc1.weight": torch.arange(400.0).expand(120, 400)})
    assert worth.tolist() == [120.0 * sum(range(25 * i, 25 * i + 25)) for i in range(16)]


def test_an_axis_without_any_score_is_an_error() -> None:
    axes = analyse(model("lenet"))
    with pytest.raises(InputError, match=r"'conv2.out': conv2.weight, conv2.bias, fc1.weight"):
        group_scores(axes, axes.axis("conv2.out"), {"conv1.weight": torch.zeros(6, 1, 5, 5)})


def test_the_best_stay_in_their_order_and_the_first_of_equals() -> None:
    assert keep_best(torch.tensor([1.0, 3.0, 2.0, 3.0, 3.0]), 2).tolist() == [1, 3]
    assert keep_best(torch.tensor([1.0, 3.0, 2.0]), 2).tolist() == [1, 2]


@given(st.integers(1, 600), st.floats(0, 1), st.integers(1, 64))
def test_what_stays_is_a_multiple_near_the_share(size: int, share: float, multiple: int) -> None:
    count = keep_count(size, share, multiple)
    assert 1 <= count <= size
    assert count % multiple == 0 or count == size
    assert abs(count - size * share) <= multiple / 2 or count in (multiple, size)


@pytest.mark.parametrize(("share", "multiple"), [(-0.1, 1), (1.1, 1), (0.5, 0)])
def test_a_share_or_multiple_out_of_range_is_refused(share: float, multiple: int) -> None:
    with pytest.raises(InputError):
        keep_count(8, share, multiple)
