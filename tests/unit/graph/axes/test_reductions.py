"""What runs along an axis: sums that zeros do not change, counts and comparisons that they do, positions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from modelpress.graph.axes import analyse, remove
from modelpress.testing.structure import silenced
from tests.unit.graph.axes.oracle import check_each_axis, difference, exactness
from tests.unit.graph.axes.traced import traced

aten = torch.ops.aten
Combine = Callable[[Tensor, Tensor], Tensor]


class Reduction(nn.Module):
    """What becomes of two layers' outputs of six and eight units."""

    def __init__(self, combine: Combine, width: int = 6) -> None:
        super().__init__()
        self.combine = combine
        self.a, self.b = nn.Linear(4, 6), nn.Linear(4, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.combine(self.a(x), self.b(x))


def with_sigmoid(reduce: Callable[[Tensor], Tensor]) -> Combine:
    return lambda a, b: reduce(aten.sigmoid.default(a))


def of(reduce: Callable[[Tensor], Tensor]) -> Combine:
    return lambda a, b: reduce(a)


def weighted(a: Tensor, factor: Tensor) -> Any:
    """So that the dimension, which stayed, is summed in the end."""
    return aten.sum.dim_IntList(aten.mul.Tensor(a, factor), [1])


SUMS: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda a: aten.sum.dim_IntList(a, [1]),
    "linalg_vector_norm": lambda a: aten.linalg_vector_norm.default(a, 2, [-1]),
    "norm": lambda a: aten.norm.ScalarOpt_dim(a, 3, [1]),
    "cumsum": lambda a: aten.sum.dim_IntList(aten.mul.Tensor(aten.cumsum.default(a, 1), a), [1]),
    "count_nonzero": lambda a: aten.to.dtype(aten.count_nonzero.dim_IntList(a, [1]), torch.float32),
    "einsum": lambda a: aten.einsum.default("bi,bi->b", [a, a]),
}
AVERAGES: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda a: aten.mean.dim(a, [1]),
    "amax": lambda a: aten.amax.default(aten.neg.default(aten.abs.default(a)), [1]),
    "amin": lambda a: aten.amin.default(aten.abs.default(a), [1]),
    "max": lambda a: aten.max.dim(aten.neg.default(aten.abs.default(a)), 1)[0],
    "prod": lambda a: aten.prod.dim_int(aten.add.Tensor(a, 2.0), 1),
    "std": lambda a: aten.std.dim(a, [1]),
    "var": lambda a: aten.var.correction(a, [1], correction=0),
    "var_mean": lambda a: aten.var_mean.correction(a, [1])[1],
    "logsumexp": lambda a: aten.logsumexp.default(a, [1]),
    "softmax": lambda a: weighted(aten.softmax.int(a, 1), a),
    "log_softmax": lambda a: weighted(aten.log_softmax.int(a, 1), a),
    "cumprod": lambda a: weighted(aten.cumprod.default(aten.add.Tensor(a, 2.0), 1), a),
    "linalg_vector_norm": lambda a: aten.linalg_vector_norm.default(aten.add.Tensor(a, 2.0), -1, [1]),
}


@pytest.mark.parametrize("name", SUMS)
def test_a_sum_is_exact_where_its_terms_vanish(name: str) -> None:
    for combine, inexact_because in ((of(SUMS[name]), ""), (with_sigmoid(SUMS[name]), name)):
        source = traced(Reduction(combine), ("batch", 4))
        assert exactness(source)["a.out"] == (6, inexact_because)
        check_each_axis(source)


@pytest.mark.parametrize("name", AVERAGES)
def test_what_counts_or_compares_is_inexact(name: str) -> None:
    source = traced(Reduction(of(AVERAGES[name])), ("batch", 4))
    assert exactness(source)["a.out"] == (6, name)
    axes = analyse(source)
    quiet, keep = silenced(source, axes, [axes.axis("a.out")])
    assert difference(quiet, remove(quiet, axes, keep)) > 1e-4


POSITIONS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "argmax": (lambda a: aten.argmax.default(a, 1), "its positions are values, argmax at argmax_default"),
    "max": (lambda a: aten.max.dim(a, 1)[1], "its positions are values, max at max_dim"),
    "sort": (lambda a: aten.sum.dim_IntList(aten.sort.default(a, 1)[0], [1]), "sorted by sort at sort_default"),
    "argsort": (lambda a: aten.argsort.default(a, 1), "sorted by argsort at argsort_default"),
    "topk": (lambda a: aten.topk.default(a, 2)[0], "sorted by topk at topk_default"),
}


@pytest.mark.parametrize("name", POSITIONS)
def test_positions_freeze(name: str) -> None:
    operator, why = POSITIONS[name]
    assert analyse(traced(Reduction(of(operator)), ("batch", 4))).frozen()["a.out"] == why


def table(a: Tensor) -> Any:
    return aten.unsqueeze.default(a, 1)


PAIRS: dict[str, tuple[Combine, str]] = {
    "cosine_similarity": (lambda a, b: aten.cosine_similarity.default(a, b), ""),
    "cosine_similarity of a sigmoid": (
        lambda a, b: aten.cosine_similarity.default(a, aten.sigmoid.default(b)), "cosine_similarity",
    ),
    "pairwise_distance": (lambda a, b: aten.pairwise_distance.default(a, b, 2.0, 0.5), "pairwise_distance"),
    "cdist": (lambda a, b: aten.cdist.default(table(a), table(b)), ""),
    "cdist of a sigmoid": (lambda a, b: aten.cdist.default(table(a), table(aten.sigmoid.default(b))), "cdist"),
    "where": (lambda a, b: aten.sum.dim_IntList(aten.where.self(aten.gt.Scalar(b, 0), a, b), [1]), ""),
    "where of a number": (
        lambda a, b: aten.sum.dim_IntList(aten.where.ScalarOther(aten.gt.Scalar(b, 0), a, 1.0), [1]), "sum",
    ),
    "masked_fill": (lambda a, b: aten.sum.dim_IntList(aten.masked_fill.Scalar(a, aten.gt.Scalar(b, 0), 0), [1]), ""),
    "masked_fill of one": (
        lambda a, b: aten.sum.dim_IntList(aten.masked_fill.Scalar(a, aten.le.Scalar(b, 0), 1), [1]), "sum",
    ),
    "lerp": (lambda a, b: aten.sum.dim_IntList(aten.lerp.Scalar(a, b, 0.3), [1]), ""),
    "addcmul": (lambda a, b: aten.sum.dim_IntList(aten.addcmul.default(a, b, aten.exp.default(b)), [1]), ""),
    "threshold": (lambda a, b: aten.sum.dim_IntList(aten.threshold.default(aten.add.Tensor(a, b), 0, 3), [1]), "sum"),
    "chunk": (
        lambda a, b: aten.sum.dim_IntList(aten.chunk.default(aten.cat.default([a, b], 1), 2, 1)[1], [1]), "",
    ),
    "expanded twice": (
        lambda a, b: aten.sum.dim_IntList(
            aten.add.Tensor(aten.expand.default(aten.unsqueeze.default(a, 2), [-1, -1, 6]), table(a)), [1, 2]
        ), "sum",
    ),
    "matmul": (lambda a, b: aten.matmul.default(table(a), aten.unsqueeze.default(b, 2)), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_two_operands(name: str) -> None:
    combine, inexact_because = PAIRS[name]
    source = traced(Reduction(combine), ("batch", 4))
    assert exactness(source)["a.out"][1] == inexact_because
    check_each_axis(source)


def test_glu_ties_the_halves() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Linear(4, 12), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(aten.glu.default(self.stem(x), 1))
            return out

    source = traced(Gated(), ("batch", 4))
    assert exactness(source) == {"stem.out": (6, "")}
    check_each_axis(source)
    small = remove(source, analyse(source), {"stem.out": torch.tensor([1, 4])})
    stem = dict(small.module.named_parameters())["stem.weight"]
    assert torch.equal(stem, source.module.get_parameter("stem.weight")[[1, 4, 7, 10]])
