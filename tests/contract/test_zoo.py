"""The format's and the axes' promises, over every architecture of the zoo."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import pytest
import torch

from modelpress.graph.axes.describe import prunable_share
from modelpress.testing import costs, format, structure
from modelpress.testing.format import Case
from modelpress.testing.structure import Structure
from modelpress.testing.zoo import ZOO

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@lru_cache(maxsize=1)
def network(name: str) -> Structure:
    """The parameters below keep one network's tests together, so that each is lifted once."""
    return Structure(Case.of(name))


@pytest.mark.parametrize("name", ZOO)
def test_the_network_keeps_every_promise(name: str, subtests: pytest.Subtests) -> None:
    for title, check in format.CHECKS.items():
        with subtests.test(title):
            assert check(network(name).case) == ""
    for title, costs_check in costs.CHECKS.items():
        with subtests.test(title):
            assert costs_check(network(name).case) == ""
    for title, axes_check in structure.CHECKS.items():
        with subtests.test(title):
            assert axes_check(network(name)) == ""
    with subtests.test("nearly all weights can be pruned"):
        assert prunable_share(network(name).model, network(name).axes) >= 0.9
