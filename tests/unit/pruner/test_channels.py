import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modelpress.errors import InputError
from modelpress.graph.axes import analyse
from modelpress.graph.model import Model
from modelpress.job import LocalJob
from modelpress_pruner.kernels.channels import best, global_counts, local_counts, random_choice, remove_channels

SCORES = {"a": torch.tensor([0.9, 0.1, 0.8, 0.2]), "b": torch.tensor([0.3, 0.4, 0.7, 0.6])}


def test_global_counts_take_the_lowest_of_all_axes() -> None:
    # Sorted over both: 0.1a 0.2a 0.3b | 0.4b 0.6b 0.7b 0.8a 0.9a
    assert global_counts(SCORES, sparsity=3 / 8, multiple=1, floor=0.1) == {"a": 2, "b": 3}


def test_global_counts_leave_the_floor_of_each_axis() -> None:
    scores = {"low": torch.full((10,), 0.1), "high": torch.ones(10)}
    assert global_counts(scores, sparsity=0.5, multiple=1, floor=0.3) == {"low": 3, "high": 10}


def test_counts_are_rounded_to_the_multiple() -> None:
    scores = {"a": torch.arange(64.0)}
    assert global_counts(scores, sparsity=0.5, multiple=24, floor=0.1) == {"a": 24}
    assert local_counts({"a": 64, "narrow": 6}, sparsity=0.45, multiple=8) == {"a": 32, "narrow": 6}


def test_best_keeps_the_highest_in_order() -> None:
    kept = best(SCORES, {"a": 2, "b": 3})
    assert {name: indices.tolist() for name, indices in kept.items()} == {"a": [0, 2], "b": [1, 2, 3]}


@given(st.integers(1, 40), st.data())
def test_random_choice_draws_as_many_as_asked_each_once(size: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, size))
    drawn = random_choice({"a": size}, {"a": count}, seed=3)["a"].tolist()
    assert len(drawn) == len(set(drawn)) == count
    assert drawn == sorted(drawn)
    assert set(drawn) <= set(range(size))


def test_removal_reports_what_it_did(trained: Model) -> None:
    job = LocalJob()
    keep = {"stem.0.out": torch.arange(12), "inner.0.out": torch.arange(16)}
    small = remove_channels(trained, analyse(trained), keep, "pruner/some", job)
    assert small.module.get_parameter("inner.0.weight").shape == (16, 12, 3, 3)
    assert job.metrics["channels_removed_share"] == pytest.approx(20 / 48)
    assert job.metrics["parameters"] == sum(p.numel() for p in small.module.parameters())
    assert small.facts["pruned"] == [{"method": "pruner/some", "channels_removed_share": pytest.approx(20 / 48)}]
    assert job.lines == ["stem.0.out: 16 -> 12 channels", "inner.0.out: 32 -> 16 channels"]


def test_removing_nothing_is_an_error(trained: Model) -> None:
    with pytest.raises(InputError, match=r"pruner/some would remove nothing from stem\.0\.out \(16\)"):
        remove_channels(trained, analyse(trained), {"stem.0.out": torch.arange(16)}, "pruner/some", LocalJob())
