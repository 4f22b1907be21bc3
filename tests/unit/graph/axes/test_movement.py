"""Operators that move elements, between two linear layers: sizes in the graph follow a removal."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from modelpress.graph.axes import analyse, keep_count, remove
from modelpress.testing.structure import silenced
from tests.unit.graph.axes.nets import lifted
from tests.unit.graph.axes.oracle import difference


class Between(nn.Module):
    def __init__(self, move: Callable[[Tensor], Tensor], width: int) -> None:
        super().__init__()
        self.move = move
        self.before = nn.Linear(4, 12)
        self.after = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.after(self.move(self.before(x)))
        return out


def halved(x: Tensor) -> Tensor:
    first, second, third = torch.split(x, [2, 6, 4], 1)
    return torch.cat([third, second * 2, first], 1)


def attended(x: Tensor) -> Tensor:
    x = torch.unflatten(x, 1, (3, 4))
    return (x @ x.transpose(1, 2) @ x).flatten(1)


MOVES: dict[str, tuple[Callable[[Tensor], Tensor], int, dict[str, int]]] = {
    "slice": (lambda x: x[:, 3:9], 6, {".0": 3, ".1": 6, ".2": 3}),
    "slice from the end": (lambda x: x[:, -5:], 5, {".0": 7, ".1": 5}),
    "slice of all": (lambda x: x[:, :12], 12, {"": 12}),
    "every other": (lambda x: x[:, ::2], 6, {".0": 6}),
    "every fifth, which does not divide": (lambda x: x[:, ::5], 3, {}),
    "chunk": (lambda x: torch.cat(x.chunk(3, 1)[1:], 1), 8, {".0": 4, ".1": 4, ".2": 4}),
    "split": (lambda x: torch.split(x, 5, 1)[1], 5, {".0": 5, ".1": 5, ".2": 2}),
    "split with sizes": (halved, 12, {".0": 2, ".1": 6, ".2": 4}),
    "unflatten, permute, flatten": (
        lambda x: torch.unflatten(x, 1, (3, 4)).permute(0, 2, 1).flatten(1),
        12,
        {".0": 3, ".1": 4},
    ),
    "view, transpose, reshape": (lambda x: x.view(-1, 2, 6).transpose(1, 2).reshape(-1, 12), 12, {".0": 2, ".1": 6}),
    "inferred size": (lambda x: x.view(x.shape[0], -1, 4).flatten(1), 12, {".0": 3, ".1": 4}),
    "computed size": (lambda x: x.reshape(x.shape[0] * 3, 4), 4, {".1": 4}),
    "select": (lambda x: torch.unflatten(x, 1, (3, 4))[:, 1], 4, {".3": 4}),
    "unsqueeze, expand": (lambda x: x.unsqueeze(2).expand(-1, -1, 5).flatten(1), 60, {"": 12, "after.in.1": 5}),
    "expand in front": (lambda x: x.expand(7, -1, -1).mean(0), 12, {"": 12}),
    "unsqueeze, squeeze": (lambda x: x.unsqueeze(1).squeeze(1), 12, {"": 12}),
    "transposed twice": (lambda x: x.t().t(), 12, {"": 12}),
    "products of itself": (attended, 12, {".0": 3, ".1": 4}),
}


@pytest.mark.parametrize("name", MOVES)
def test_sizes_follow_a_removal(name: str) -> None:
    move, width, expected = MOVES[name]
    source = lifted(Between(move, width), 4)
    axes = analyse(source)
    found = {axis.name.removeprefix("before.out"): axis.size for axis in axes.prunable()}
    assert found == expected
    if not expected:
        assert "slice" in axes.frozen()["before.out"]
        return
    exact = [axis for axis in axes.prunable() if axis.exact]
    quiet, keep = silenced(source, axes, exact)
    assert difference(quiet, remove(quiet, axes, keep)) < 1e-5
    half = remove(source, axes, {a.name: torch.arange(keep_count(a.size, 0.5)) for a in axes.prunable()})
    assert half.module(torch.randn(5, 4)).shape[-1] == 3
