"""Einsum: reading equations, and what they tie, sum and keep."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from modelpress.graph.axes.einsum import Equation, parse
from tests.unit.graph.axes.oracle import check_each_axis, exactness
from tests.unit.graph.axes.traced import traced

aten = torch.ops.aten


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", [(2, 3), (3, 4)]),
        ("ij,jk", [(2, 3), (3, 4)]),
        ("ba", [(2, 3)]),
        ("...ij,...jk->...ik", [(5, 2, 3), (6, 5, 3, 4)]),
        ("i...,i...->...", [(2, 3, 4), (2, 4)]),
        ("...Ba,a", [(2, 3, 4), (4,)]),
        ("ii->i", [(3, 3)]),
        ("ii", [(3, 3)]),
        (" b n h , h d -> b n d", [(2, 3, 4), (4, 5)]),
        ("i,j,k->kji", [(2,), (3,), (4,)]),
    ],
)
def test_labels_say_the_shape_that_torch_gives(equation: str, shapes: list[tuple[int, ...]]) -> None:
    found = parse(equation, [len(shape) for shape in shapes])
    sizes: dict[str, int] = {}
    for labels, shape in zip(found.operands, shapes, strict=True):
        for label, size in zip(labels, shape, strict=True):
            sizes[label] = max(size, sizes.get(label, 1))
    assert [sizes[label] for label in found.output] == list(
        torch.einsum(equation, *(torch.zeros(s) for s in shapes)).shape
    )


def test_what_the_output_lacks_is_summed() -> None:
    assert parse("...i,ij->...j", (3, 2)) == Equation((("...2", "...1", "i"), ("i", "j")), ("...2", "...1", "j"))
    assert parse("bij,bjk->bk", (3, 3)).summed == ("i", "j")


class Heads(nn.Module):
    """Attention by einsum: every index space is a label. ``exponential`` keeps queries and keys from being zero."""

    def __init__(self, exponential: bool) -> None:
        super().__init__()
        self.query, self.key = nn.Parameter(torch.empty(5, 4, 6)), nn.Parameter(torch.empty(5, 4, 6))
        self.value, self.out = nn.Parameter(torch.empty(5, 4, 7)), nn.Parameter(torch.empty(4, 7, 3))
        self.exponential = exponential

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            aten.einsum.default("...nc,chd->...hnd", [x, weight]) for weight in (self.query, self.key, self.value)
        )
        key, query = (aten.exp.default(key), aten.exp.default(query)) if self.exponential else (key, query)
        scores = aten.einsum.default("bhnd,bhmd->bhnm", [query, key])
        weights = scores if self.exponential else aten.softmax.int(scores, -1)
        mixed = aten.einsum.default("bhnm,bhme->bnhe", [weights, value])
        out: Tensor = aten.einsum.default("bnhe,heo", [mixed, self.out])
        return out


@pytest.mark.parametrize("exponential", [False, True])
def test_a_label_is_one_axis(exponential: bool) -> None:
    source = traced(Heads(exponential), ("batch", 5, 5))
    assert exactness(source) == {
        "query.1": (4, ""), "query.2": (6, "einsum" if exponential else ""), "value.2": (7, ""),
    }  # fmt: skip
    check_each_axis(source)


class Diagonal(nn.Module):
    """A label that an operand has twice, one that is broadcast, and a product with itself."""

    def __init__(self) -> None:
        super().__init__()
        self.square, self.row = nn.Parameter(torch.empty(6, 6)), nn.Parameter(torch.empty(1, 6))
        self.vector = nn.Parameter(torch.empty(8))

    def forward(self, x: Tensor) -> Tensor:
        diagonal = aten.einsum.default("ii->i", [self.square])
        scaled = aten.einsum.default("bi,bi->b", [aten.unsqueeze.default(diagonal, 0), self.row])
        pairs = aten.einsum.default("i,j->ij", [self.vector, aten.exp.default(self.vector)])
        total = aten.einsum.default("ij->", [pairs])
        out: Tensor = aten.mul.Tensor(aten.mul.Tensor(x, scaled), total)
        return out


def test_an_atom_in_two_dimensions_must_vanish_in_both() -> None:
    source = traced(Diagonal(), ("batch", 3))
    assert exactness(source) == {"square.0": (6, ""), "vector.0": (8, "einsum")}
    check_each_axis(source)
