"""Attention leaves: what goes with what, and what is exact."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from modelpress.graph.axes import analyse, remove
from modelpress.graph.behaviour import Attention
from tests.unit.graph.axes.oracle import check_each_axis, exactness
from tests.unit.graph.axes.traced import traced

aten = torch.ops.aten
HEADS, SIZE = 4, 6


class SelfAttention(nn.Module):
    """Queries of four heads; keys and values of ``shared`` heads, in one matrix; a bias a head on the scores."""

    def __init__(self, shared: int = HEADS, masked: bool = False, folded: bool = False) -> None:
        super().__init__()
        self.shared, self.folded = shared, folded
        self.query = nn.Linear(5, HEADS * SIZE)
        self.key_value = nn.Linear(5, 2 * shared * SIZE)
        self.attention = Attention(0.3, grouped=shared != HEADS)
        self.bias = nn.Parameter(torch.zeros(1, HEADS, 7, 7)) if masked else None
        self.out = nn.Linear(HEADS * SIZE, 3)

    def heads(self, x: Tensor, count: int) -> Tensor:
        x = aten.transpose.int(aten.unflatten.int(x, 2, [count, SIZE]), 1, 2)
        return aten.flatten.using_ints(x, 0, 1) if self.folded else x

    def forward(self, x: Tensor) -> Tensor:
        halves = aten.chunk.default(self.key_value(x), 2, -1)
        operands = [self.heads(self.query(x), HEADS), *(self.heads(halves[i], self.shared) for i in (0, 1))]
        y = self.attention(*operands) if self.bias is None else self.attention(*operands, self.bias)
        y = aten.unflatten.int(y, 0, [-1, HEADS]) if self.folded else y
        out: Tensor = self.out(aten.flatten.using_ints(aten.transpose.int(y, 1, 2), 2))
        return out


def test_attention_gives_heads_and_the_channels_of_each() -> None:
    source = traced(SelfAttention(), ("batch", 7, 5))
    assert exactness(source) == {"key_value.out.0": (4, ""), "key_value.out.1": (6, ""), "key_value.out.2": (6, "")}
    check_each_axis(source)


def test_a_bias_on_the_scores_loses_the_heads_too() -> None:
    source = traced(SelfAttention(masked=True), ("batch", 7, 5))
    axes = analyse(source)
    assert ("bias", 1) in {(where.parameter, where.dim) for where in axes.axis("key_value.out.0").slices}
    small = remove(source, axes, {"key_value.out.0": torch.tensor([0, 2])})
    assert small.module.get_parameter("bias").shape == (1, 2, 7, 7)
    assert torch.equal(small.module.get_parameter("bias")[:, 1], source.module.get_parameter("bias")[:, 2])
    check_each_axis(source)


def test_grouped_queries_give_whole_groups_and_the_same_query_of_each() -> None:
    source = traced(SelfAttention(shared=2), ("batch", 7, 5))
    assert exactness(source) == {
        "key_value.out.0": (2, ""), "query.out.1": (2, ""), "key_value.out.1": (6, ""), "key_value.out.2": (6, ""),
    }  # fmt: skip
    axes = analyse(source)
    shared = {(where.parameter, where.dim) for where in axes.axis("key_value.out.0").slices}
    assert ("key_value.weight", 0) in shared
    assert ("query.weight", 0) in shared
    small = remove(source, axes, {"key_value.out.0": torch.tensor([1])})
    assert small.module.get_parameter("query.weight").shape == (2 * 6, 5)
    assert small.module.get_parameter("key_value.weight").shape == (2 * 6, 5)
    check_each_axis(source)


def test_heads_may_be_folded_into_the_batch() -> None:
    source = traced(SelfAttention(folded=True), ("batch", 7, 5))
    assert exactness(source) == {"key_value.out.0": (4, ""), "key_value.out.1": (6, ""), "key_value.out.2": (6, "")}
    check_each_axis(source)


class Tokens(nn.Module):
    """Attention over eight learned tokens, so that these may go as well."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Linear(5, 6), nn.Linear(5, 6), nn.Linear(5, 6)
        self.tokens = nn.Parameter(torch.zeros(8, 5))
        self.attention = Attention(0.5)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        key, value = self.key(self.tokens), self.value(self.tokens)
        out: Tensor = self.head(self.attention(self.query(x), key, value))
        return out


def test_what_the_softmax_runs_over_is_inexact() -> None:
    source = traced(Tokens(), ("batch", 5))
    assert exactness(source) == {
        "tokens.0": (8, "Attention"), "tokens.1": (5, ""), "key.out": (6, ""), "value.out": (6, ""),
    }  # fmt: skip
    check_each_axis(source)
