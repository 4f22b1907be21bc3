"""Random graphs of sums, products and movements: an axis that says it is exact must be, whatever was composed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from modelpress.graph.axes import analyse, remove
from modelpress.testing.structure import silenced
from tests.unit.graph.axes.traced import traced

aten = torch.ops.aten
WIDTH, STEPS, GRAPHS = 6, 7, 60


def positive(x: Tensor) -> Any:
    return aten.to.dtype(aten.gt.Scalar(x, 0), torch.float32)


def over_square(x: Tensor, y: Tensor) -> Any:
    return aten.div.Tensor(x, aten.add.Scalar(aten.square.default(y), 1))


def first_rows(x: Tensor, y: Tensor) -> Any:
    return aten.slice.Tensor(aten.cat.default([x, y], 1), 1, 0, WIDTH)


def dot_products(x: Tensor, y: Tensor) -> Any:
    return aten.unsqueeze.default(aten.einsum.default("bij,bij->bi", [x, y]), 2)


UNARY: tuple[Callable[[Tensor], Tensor], ...] = (
    aten.relu.default, aten.tanh.default, aten.sigmoid.default, aten.abs.default, aten.neg.default, aten.square.default,
    lambda x: aten.clamp.default(x, -1.0, 1.0), lambda x: aten.clamp_min.default(x, 0.5),
    lambda x: aten.hardtanh.default(x, -0.5, 0.5), lambda x: aten.threshold.default(x, -1.0, 0.5),
    lambda x: aten.threshold.default(x, 0.1, 0.5), lambda x: aten.add.Scalar(x, 0.5), lambda x: aten.mul.Scalar(x, 0.5),
    lambda x: aten.rsub.Scalar(x, 0.0), lambda x: aten.mul.Tensor(x, positive(x)),
    lambda x: aten.to.dtype(aten.ge.Scalar(x, 0), torch.float32), lambda x: aten.pow.Tensor_Scalar(x, 2),
    lambda x: aten.masked_fill.Scalar(x, aten.gt.Scalar(x, 0.3), 0), lambda x: aten.transpose.int(x, 1, 2),
    lambda x: aten.sum.dim_IntList(x, [1], True), lambda x: aten.sum.dim_IntList(x, [2], True),
    lambda x: aten.mean.dim(x, [1], True), lambda x: aten.softmax.int(x, 2), lambda x: aten.cumsum.default(x, 1),
    lambda x: aten.amax.default(x, [2], True), lambda x: aten.max.dim(x, 1, True)[0],
    lambda x: aten.linalg_vector_norm.default(x, 2, [2], True), lambda x: aten.layer_norm.default(x, [WIDTH]),
)  # fmt: skip
BINARY: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.maximum.default, aten.minimum.default,
    lambda x, y: aten.lerp.Scalar(x, y, 0.3), lambda x, y: aten.where.self(aten.gt.Scalar(x, 0), x, y),
    lambda x, y: aten.addcmul.default(x, y, y), over_square,
    lambda x, y: aten.matmul.default(x, aten.transpose.int(y, 1, 2)), aten.matmul.default,
    dot_products, first_rows,
)  # fmt: skip


class Composed(nn.Module):
    """Operators chosen by a seed among those that take the shapes that there are; summed up in the end."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, WIDTH), nn.Linear(4, WIDTH)
        self.pair = nn.Parameter(torch.empty(WIDTH, WIDTH))
        self.steps: list[tuple[Callable[..., Tensor], tuple[int, ...]]] = []
        choice = random.Random(seed)
        values = self._start(torch.randn(2, 4))
        while len(self.steps) < STEPS:
            operator, count = choice.choice([(f, 1) for f in UNARY] + [(f, 2) for f in BINARY])
            at = tuple(choice.randrange(len(values)) for _ in range(count))
            try:
                values.append(operator(*(values[i] for i in at)))
            except RuntimeError:  # the shapes do not fit
                continue
            self.steps.append((operator, at))

    def _start(self, x: Tensor) -> list[Tensor]:
        return [aten.unsqueeze.default(self.a(x), 1), aten.unsqueeze.default(self.b(x), 2),
                aten.mul.Tensor(self.pair, aten.unsqueeze.default(self.a(x), 1))]  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        values = self._start(x)
        for operator, at in self.steps:
            values.append(operator(*(values[i] for i in at)))
        out: Tensor = aten.sum.dim_IntList(values[-1], [1, 2])
        return out


@pytest.mark.parametrize("seed", range(GRAPHS))
def test_exact_axes_are_exact(seed: int) -> None:
    source = traced(Composed(seed), ("batch", 4))
    axes = analyse(source)
    for axis in axes.prunable():
        quiet, keep = silenced(source, axes, [axis])
        small = remove(quiet, axes, keep)
        inputs = source.examples(batch=3)
        with torch.no_grad():
            before, after = quiet.module(*inputs), small.module(*inputs)
        if axis.exact:
            torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


def test_the_graphs_have_axes_of_both_kinds() -> None:
    found = [axis.exact for seed in range(GRAPHS) for axis in analyse(traced(Composed(seed), ("batch", 4))).prunable()]
    assert sum(found) > GRAPHS / 4
    assert len(found) - sum(found) > GRAPHS / 4
