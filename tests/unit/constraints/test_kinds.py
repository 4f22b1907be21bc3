"""What planning can ask about constraints, without torch."""

from itertools import permutations

import pytest

from modelpress.constraints import registry
from modelpress.constraints.kinds import DEQUANTIZE, MASK, Kind, Order, conflict
from modelpress.testing.methods import heavy_imports

CODEBOOK = Kind("Codebook", "codebook", Order.VALUES)
GRID = Kind("Grid", "grid", Order.VALUES)
LOW_RANK = Kind("LowRank", "low-rank", Order.FACTORS)


@pytest.mark.parametrize("kinds", [(), (MASK,), (DEQUANTIZE,), (LOW_RANK, CODEBOOK, MASK), (GRID, MASK)], ids=str)
def test_what_stacks(kinds: tuple[Kind, ...]) -> None:
    assert {conflict(order) for order in permutations(kinds)} == {""}


@pytest.mark.parametrize(
    ("kinds", "says"),
    [
        ((MASK, MASK), "Mask and Mask exclude each other: a tensor has one constraint on its pattern of zeros"),
        ((CODEBOOK, MASK, GRID), "exclude each other: a tensor has one constraint on its values"),
        ((LOW_RANK, DEQUANTIZE), "Dequantize is final and stands alone; LowRank cannot be with it"),
        ((DEQUANTIZE, MASK), "Dequantize is final and stands alone; Mask cannot be with it"),
    ],
    ids=str,
)
def test_what_does_not_stack_in_any_order(kinds: tuple[Kind, ...], says: str) -> None:
    for order in permutations(kinds):
        assert says in conflict(order)


def test_the_registry_goes_by_the_names_of_the_kinds() -> None:
    assert {name: c.kind.name for name, c in registry.CONSTRAINTS.items()} == {
        "Dequantize": "Dequantize",
        "Mask": "Mask",
    }
    assert len({c.kind.fact for c in registry.CONSTRAINTS.values()}) == len(registry.CONSTRAINTS)


def test_planning_needs_no_torch() -> None:
    assert heavy_imports("import modelpress.constraints.kinds") == []
