"""Random chains of operators between linear layers, written by hand into a graph; all of one seed.

Each step takes the graph and a value ``[batch * copies, ...]`` and gives the next one, or None where it does not fit.
"""

from __future__ import annotations

import operator
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from modelpress.graph.model import Model
from tests.unit.graph.axes.graphs import BATCH, Graph, aten

LARGEST = 4000
"""Elements of a value, beyond which only what makes it smaller is drawn."""


@dataclass
class Chain:
    """A graph under way: its last value, how often the first dimension holds the batch, and where choices come from."""

    graph: Graph
    last: fx.Node
    random: random.Random
    copies: int = 1

    @property
    def shape(self) -> list[int]:
        return self.graph.shape(self.last)

    def dim(self) -> int:
        """Any dimension but the batch's."""
        return self.random.randrange(1, len(self.shape))

    def call(self, target: Callable[..., object], *args: object) -> fx.Node:
        return self.graph.call(target, self.last, *args)

    def first_size(self, copies: int) -> Any:
        """The size of a first dimension that holds the batch ``copies`` times: computed in one of three ways, or -1."""
        batch = self.graph.batch
        return self.either(
            lambda: -1,
            lambda: self.graph.call(operator.mul, batch, copies),
            lambda: self.graph.call(operator.mul, copies, batch),
            lambda: self.graph.call(operator.floordiv, self.graph.call(operator.mul, batch, copies * 6), 6),
        )

    def either(self, *makers: Callable[[], Any]) -> Any:
        """What one of them makes."""
        return self.random.choice(makers)()

    def factor(self, at: int) -> int | None:
        """A proper factor of a dimension's size."""
        size = self.shape[at]
        found = [n for n in range(2, size) if size % n == 0]
        return self.random.choice(found) if found else None


Step = Callable[[Chain], Any]


def split(chain: Chain) -> fx.Node | None:
    at, shape = chain.dim(), chain.shape
    factor = chain.factor(at)
    if factor is None or len(shape) > 5:
        return None
    if chain.random.random() < 0.3:
        return chain.call(aten.unflatten.int, at, [factor, shape[at] // factor])
    sizes = [*shape[1:at], factor, shape[at] // factor, *shape[at + 1 :]]
    return chain.call(aten.reshape.default, [chain.first_size(chain.copies), *sizes])


def merge(chain: Chain) -> fx.Node | None:
    at, shape = chain.dim(), chain.shape
    if at + 1 == len(shape):
        return None
    if chain.random.random() < 0.5:
        return chain.call(aten.flatten.using_ints, at, at + 1)
    sizes = [*shape[1:at], shape[at] * shape[at + 1], *shape[at + 2 :]]
    return chain.call(aten.reshape.default, [chain.first_size(chain.copies), *sizes])


def join_batch(chain: Chain) -> fx.Node | None:
    _, second, *others = chain.shape
    if not others:
        return None
    chain.copies *= second
    return chain.call(aten.reshape.default, [chain.first_size(chain.copies), *others])


def leave_batch(chain: Chain) -> fx.Node | None:
    if chain.copies == 1:
        return None
    size = chain.call(aten.sym_size.int, 0)
    copies, chain.copies = chain.copies, 1
    return chain.call(
        aten.reshape.default, [chain.graph.call(operator.floordiv, size, copies), copies, *chain.shape[1:]]
    )


def permute(chain: Chain) -> fx.Node | None:
    order = list(range(1, len(chain.shape)))
    chain.random.shuffle(order)
    return chain.call(aten.permute.default, [0, *order])


def concatenate(chain: Chain) -> fx.Node | None:
    return chain.graph.call(aten.cat.default, [chain.last, chain.call(aten.tanh.default)], chain.dim())


def chunks(chain: Chain) -> fx.Node | None:
    """Two of the chunks in other order."""
    at = chain.dim()
    parts = chain.call(aten.chunk.default, chain.random.choice([2, 3]), at)
    count = len(chain.graph.value(parts))
    picked = [chain.graph.call(operator.getitem, parts, i) for i in (count - 1, 0)]
    return chain.graph.call(aten.cat.default, picked, at)


def part(chain: Chain) -> Any:
    at = chain.dim()
    size = chain.shape[at]
    start = chain.random.randrange(size)
    end = chain.random.randrange(start, size) + 1
    return chain.either(
        lambda: chain.call(aten.slice.Tensor, at, start - size, end),
        lambda: chain.call(aten.slice.Tensor, at, start, 2**63 - 1),
        lambda: chain.call(aten.narrow.default, at, start, end - start),
    )


def overwrite(chain: Chain) -> Any:
    at = chain.dim()
    start = chain.random.randrange(chain.shape[at])
    source = chain.graph.call(aten.mul.Tensor, chain.call(aten.slice.Tensor, at, start), 3.0)
    return chain.call(aten.slice_scatter.default, source, at, start)


def select(chain: Chain) -> Any:
    at = chain.dim()
    size = chain.shape[at]
    return chain.call(aten.select.int, at, chain.random.randrange(-size, size)) if len(chain.shape) > 2 else None


def expand(chain: Chain) -> fx.Node | None:
    if len(chain.shape) > 4:
        return None
    at = chain.dim()
    sizes = [-1] * len(chain.shape)
    return chain.graph.call(aten.expand.default, chain.call(aten.unsqueeze.default, at), [*sizes[:at], 2, *sizes[at:]])


def repeat(chain: Chain) -> Any:
    at = chain.dim()
    counts = [2 if i == at else 1 for i in range(len(chain.shape))]
    return chain.either(
        lambda: chain.call(aten.repeat.default, counts),
        lambda: chain.call(aten.tile.default, counts[1:]),
        lambda: chain.call(aten.repeat_interleave.self_int, 2, at),
    )


def pad(chain: Chain) -> fx.Node | None:
    behind = len(chain.shape) - 1 - chain.dim()
    return chain.call(aten.constant_pad_nd.default, [0, 0] * behind + [chain.random.randrange(3), 1])


def stack(chain: Chain) -> fx.Node | None:
    if len(chain.shape) > 4:
        return None
    return chain.graph.call(aten.stack.default, [chain.last, chain.call(aten.sigmoid.default)], chain.dim())


def ordered(chain: Chain) -> Any:
    at = chain.dim()
    return chain.either(
        lambda: chain.call(aten.flip.default, [at]),
        lambda: chain.call(aten.roll.default, [1], [at]),
    )


def index(chain: Chain) -> Any:
    at = chain.dim()
    places = chain.graph.tensor(torch.tensor([chain.random.randrange(chain.shape[at]) for _ in range(3)]))
    return chain.either(
        lambda: chain.call(aten.index_select.default, at, places),
        lambda: chain.call(aten.index.Tensor, [None] * at + [places]),
    )


def shuffle(chain: Chain) -> fx.Node | None:
    groups = chain.factor(1)
    return chain.call(aten.channel_shuffle.default, groups) if groups and len(chain.shape) > 2 else None


def attend(chain: Chain) -> fx.Node | None:
    return chain.call(aten.matmul.default, chain.call(aten.transpose.int, -1, -2)) if len(chain.shape) == 3 else None


def linear(chain: Chain) -> fx.Node | None:
    return chain.graph.linear(chain.last, chain.random.choice([6, 8, 12]))


def residual(chain: Chain) -> fx.Node | None:
    return chain.call(aten.add.Tensor, chain.graph.linear(chain.last, chain.shape[-1]))


SHRINKING: tuple[Step, ...] = (part, select, linear)
STEPS: tuple[Step, ...] = (
    *SHRINKING, split, split, split, merge, merge, join_batch, leave_batch, permute, concatenate, chunks, overwrite,
    expand, repeat, pad, stack, ordered, index, shuffle, attend, residual,
)  # fmt: skip


def random_model(seed: int, steps: int = 10) -> Model:
    """Outputs are [batch, 3]."""
    graph = Graph(seed)
    chain = Chain(graph, graph.x, random.Random(seed))
    chain.last = graph.linear(graph.x, chain.random.choice([8, 12, 16, 24]))
    for _ in range(steps):
        drawn = STEPS if graph.value(chain.last).numel() < LARGEST * BATCH else SHRINKING
        chain.last = (chain.call(aten.unsqueeze.default, 1) if len(chain.shape) == 1
                      else chain.random.choice(drawn)(chain) or chain.last)  # fmt: skip
    return graph.model(graph.linear(graph.flat(chain.last), 3))
