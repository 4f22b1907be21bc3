"""Removal from random chains of operators: right on exact axes, and what is left can be analysed and cut again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from modelpress.graph.axes import Axes, analyse, keep_count, remove
from tests.unit.graph.axes.oracle import difference, silenced
from tests.unit.graph.axes.random_graphs import random_model


def halves(axes: Axes, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sizes = {axis.name: axis.size for axis in axes.prunable()}
    return {name: torch.randperm(n, generator=generator)[: keep_count(n, 0.5)] for name, n in sizes.items()}


@pytest.mark.parametrize("seed", range(60))
def test_removal_is_right_and_can_be_repeated(seed: int) -> None:
    source = random_model(seed)
    axes = analyse(source)
    quiet, keep = silenced(source, axes, [axis for axis in axes.prunable() if axis.exact], seed)
    assert difference(quiet, remove(quiet, axes, keep)) < 1e-9
    small = remove(source, axes, halves(axes, seed))
    again = analyse(small)
    left = sorted(len(kept) for kept in halves(axes, seed).values() if len(kept) > 1)
    assert sorted(axis.size for axis in again.prunable()) == left
    smaller = remove(small, again, halves(again, seed))
    for batch in (1, 5):
        assert smaller.module(*smaller.examples(batch=batch)).shape == (batch, 3)


def test_the_graphs_have_something_to_remove() -> None:
    free = [len(analyse(random_model(seed)).prunable()) for seed in range(20)]
    assert sum(count > 0 for count in free) > 14
    assert sum(free) > 30
