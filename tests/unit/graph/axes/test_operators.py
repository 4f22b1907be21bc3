"""Every operator that moves elements, a graph each: which axes it leaves free, and that removing from them is right."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import fx, nn

from modelpress.graph import creators, operators
from modelpress.graph.axes import analyse, keep_count, remove
from modelpress.graph.axes.analysis import OPERATORS
from modelpress.testing.structure import silenced
from tests.unit.graph.axes.graphs import Graph, aten, between
from tests.unit.graph.axes.oracle import difference

Move = Callable[[Graph, fx.Node], fx.Node]


def call(target: Callable[..., object], *args: object, **kwargs: object) -> Move:
    """The operator on the layer's output and ``args``."""
    return lambda g, x: g.call(target, x, *args, **kwargs)


def chain(*moves: Move) -> Move:
    def run(g: Graph, x: fx.Node) -> fx.Node:
        for move in moves:
            x = move(g, x)
        return x

    return run


def pick(*indices: int) -> Move:
    """Some of several outputs, concatenated along the second dimension."""

    def run(g: Graph, x: fx.Node) -> fx.Node:
        return g.call(aten.cat.default, [g.call(operator.getitem, x, i) for i in indices], 1)

    return run


def first(g: Graph, x: fx.Node) -> fx.Node:
    return g.call(operator.getitem, x, 0)


def with_itself(target: Callable[..., object], *args: object) -> Move:
    """The operator on a list of the layer's output and its tanh."""
    return lambda g, x: g.call(target, [x, g.call(aten.tanh.default, x)], *args)


def selected_rows(g: Graph, x: fx.Node) -> fx.Node:
    return g.call(aten.index_select.default, x, 1, g.tensor(torch.tensor([2, 0])))


def by_table(table: list[int | None], places: list[int]) -> Move:
    """aten.index with ``places`` where ``table`` has a number."""

    def run(g: Graph, x: fx.Node) -> fx.Node:
        index = g.tensor(torch.tensor(places))
        return g.call(aten.index.Tensor, x, [None if at is None else index for at in table])

    return run


def image(*moves: Move) -> Move:
    """As channels over a map of 2 x 2: [batch, 3, 2, 2]."""
    return chain(call(aten.view.default, [-1, 3, 2, 2]), *moves)


def pixels(channels: int, *moves: Move) -> Move:
    """As so many channels of a map that a convolution makes: [batch, channels, 2, 2]."""

    def run(g: Graph, x: fx.Node) -> fx.Node:
        y = g.call(aten.view.default, x, [-1, 3, 2, 2])
        return chain(*moves)(g, g.leaf(nn.Conv2d(3, channels, 1), "conv", y))

    return run


def new_of(target: Callable[..., object], *args: object) -> Move:
    """A new tensor of the layer's width, added to its output."""

    def run(g: Graph, x: fx.Node) -> fx.Node:
        return g.call(aten.add.Tensor, x, g.call(target, g.x, [g.batch, 12], *args))

    return run


def like_of(target: Callable[..., object], *args: object) -> Move:
    return lambda g, x: g.call(aten.add.Tensor, x, g.call(target, x, *args))


def rows_of(g: Graph) -> fx.Node:
    """For rows of [batch, 3, 4] the numbers of other rows, the same in every column."""
    rows = g.call(aten.view.default, g.tensor(torch.tensor([2, 0, 0])), [1, 3, 1])
    return g.call(aten.expand.default, rows, [g.batch, -1, 4])


def gathered(target: Callable[..., object]) -> Move:
    def run(g: Graph, x: fx.Node) -> fx.Node:
        y = g.call(aten.view.default, x, [-1, 3, 4])
        args = (1, rows_of(g)) if target is aten.gather.default else (rows_of(g), 1)
        return g.call(target, y, *args)

    return run


def scattered(target: Callable[..., object], *more: object) -> Move:
    """What stands in rows of [batch, 3, 4] goes to other rows, the same in every column."""

    def run(g: Graph, x: fx.Node) -> fx.Node:
        y = g.call(aten.view.default, x, [-1, 3, 4])
        return g.call(target, g.call(aten.tanh.default, y), 1, rows_of(g), y, *more)

    return run


def written(target: Callable[..., object], part: Move, *args: object) -> Move:
    """A part of the layer's output is overwritten with three times it."""

    def run(g: Graph, x: fx.Node) -> fx.Node:
        return g.call(target, x, g.call(aten.mul.Tensor, part(g, x), 3.0), *args)

    return run


def added_rows(g: Graph, x: fx.Node) -> fx.Node:
    """A linear layer's output goes to two of the three rows."""
    y = g.call(aten.view.default, x, [-1, 3, 4])
    rows = g.call(aten.slice.Tensor, g.linear(y, 4, "rows"), 1, 0, 2)
    return g.call(aten.index_add.default, y, 1, g.tensor(torch.tensor([2, 0])), rows)


def put_rows(g: Graph, x: fx.Node) -> fx.Node:
    y = g.call(aten.view.default, x, [-1, 3, 4])
    rows = g.call(aten.slice.Tensor, g.linear(y, 4, "rows"), 1, 0, 2)
    return g.call(aten.index_put.default, y, [None, g.tensor(torch.tensor([2, 0]))], rows)


def sampled(g: Graph, x: fx.Node) -> fx.Node:
    grid = g.call(aten.expand.default, g.tensor(torch.rand(1, 5, 5, 2) - 0.5), [g.batch, -1, -1, -1])
    return g.call(aten.grid_sampler.default, g.leaf(nn.Conv2d(3, 6, 1), "conv", image()(g, x)), grid, 0, 0, False)


def unpooled(g: Graph, x: fx.Node) -> fx.Node:
    pooled = pixels(6, call(aten.max_pool2d_with_indices.default, [2, 2]))(g, x)
    values, places = (g.call(operator.getitem, pooled, i) for i in (0, 1))
    return g.call(aten.max_unpool2d.default, values, places, [2, 2])


def gridded(g: Graph, x: fx.Node) -> fx.Node:
    """A learned row and a learned column, each over the whole grid."""
    row, column = (g.tensor(nn.Parameter(torch.randn(n))) for n in (3, 4))
    grids = g.call(aten.meshgrid.indexing, [row, column], indexing="xy")
    y = g.call(aten.view.default, x, [-1, 4, 3])
    for i in (0, 1):
        y = g.call(aten.mul.Tensor, y, g.call(operator.getitem, grids, i))
    return y


def heads_in_batch(g: Graph, x: fx.Node) -> fx.Node:
    """Attention's way: the heads join the batch, are read back off it, and leave it."""
    y = g.call(aten.reshape.default, x, [g.call(operator.mul, g.batch, 3), 4])
    both = g.call(aten.sym_size.int, y, 0)
    return g.call(aten.view.default, g.call(aten.tanh.default, y), [g.call(operator.floordiv, both, 3), 3, 4])


def expanded_to_computed(g: Graph, x: fx.Node) -> fx.Node:
    """A learned row, expanded to a batch with the heads in it."""
    y = g.call(aten.reshape.default, x, [g.call(operator.mul, 3, g.batch), 4])
    row = g.call(aten.expand.default, g.tensor(nn.Parameter(torch.randn(1, 4))), [g.call(operator.mul, g.batch, 3), 4])
    return g.call(aten.mul.Tensor, y, row)


THREE_FOUR: dict[str, int] = {"before.out.0": 3, "before.out.1": 4}
STEM: dict[str, int] = {"before.out.0": 3}
SIX: dict[str, int] = {**STEM, "conv.out": 6}
WHOLE: dict[str, int] = {"before.out": 12}


def rotated(g: Graph, x: fx.Node) -> fx.Node:
    """Rotary embeddings' way with pairs: (a, b) becomes (-b, a)."""
    even, odd = (g.call(aten.slice.Tensor, x, 1, start, 2**63 - 1, 2) for start in (0, 1))
    return g.call(aten.flatten.using_ints, g.call(aten.stack.default, [g.call(aten.neg.default, odd), even], 2), 1)


AS_3_4 = call(aten.view.default, [-1, 3, 4])

MOVES: Mapping[str, tuple[Move, dict[str, int]]] = {
    "view": (AS_3_4, THREE_FOUR),
    "view_as": (lambda g, x: g.call(aten.view_as.default, x, AS_3_4(g, x)), THREE_FOUR),
    "reshape_as": (lambda g, x: g.call(aten.reshape_as.default, x, AS_3_4(g, x)), THREE_FOUR),
    "unflatten": (call(aten.unflatten.int, 1, [3, -1]), THREE_FOUR),
    "movedim": (chain(AS_3_4, call(aten.movedim.int, 1, 2)), THREE_FOUR),
    "movedim of several": (chain(AS_3_4, call(aten.movedim.intlist, [1, 2], [2, 1])), THREE_FOUR),
    "swapaxes": (chain(AS_3_4, call(aten.swapaxes.default, -1, 1)), THREE_FOUR),
    "squeeze": (chain(call(aten.view.default, [-1, 1, 3, 4, 1]), call(aten.squeeze.default)), THREE_FOUR),
    "squeeze.dims": (chain(call(aten.view.default, [-1, 3, 1, 4, 1]), call(aten.squeeze.dims, [2, 4, 1])), THREE_FOUR),
    "squeeze.dim": (chain(AS_3_4, call(aten.squeeze.dim, 1)), THREE_FOUR),
    "flip": (chain(AS_3_4, call(aten.flip.default, [1])), {"before.out.1": 4}),
    "roll": (chain(AS_3_4, call(aten.roll.default, [1], [2])), {"before.out.0": 3}),
    "roll of all": (chain(AS_3_4, call(aten.roll.default, [1])), {}),
    "tril": (chain(call(aten.view.default, [-1, 3, 2, 2]), call(aten.tril.default)), {"before.out.0": 3}),
    "diagonal": (
        chain(call(aten.view.default, [-1, 3, 2, 2]), call(aten.diagonal.default, 0, 2, 3)), {"before.out.0": 3},
    ),
    "ravel": (lambda g, x: g.flat(g.call(aten.ravel.default, AS_3_4(g, x))), THREE_FOUR),
    "type_as": (lambda g, x: g.call(aten.type_as.default, x, g.x), WHOLE),
    "to": (lambda g, x: g.call(aten.type_as.default, g.call(aten.to.dtype, x, torch.float16), x), WHOLE),
    "concat": (with_itself(aten.concat.default, 1), WHOLE),
    "hstack": (with_itself(aten.hstack.default), WHOLE),
    "vstack": (chain(with_itself(aten.vstack.default), call(aten.view.default, [2, -1, 12]),
                     call(aten.transpose.int, 0, 1)), WHOLE),
    "stack": (with_itself(aten.stack.default, 1), WHOLE),
    "unbind": (chain(AS_3_4, call(aten.unbind.int, 1), pick(0, 2)), {"before.out.1": 4}),
    "split.sizes": (
        chain(call(aten.split.sizes, [2, 7, 3], 1), pick(1, 0)),
        {"before.out.0": 2, "before.out.1": 7, "before.out.2": 3},
    ),
    "narrow": (
        call(aten.narrow.default, 1, 3, 6), {"before.out.0": 3, "before.out.1": 6, "before.out.2": 3},
    ),
    "select from the end": (
        chain(call(aten.unflatten.int, 1, [6, 2]), call(aten.select.int, 1, -3)),
        {"before.out.0": 3, "before.out.2": 2, "before.out.3": 2},
    ),
    "slice_scatter": (
        written(aten.slice_scatter.default, call(aten.slice.Tensor, 1, 4, 9), 1, 4, 9),
        {"before.out.0": 4, "before.out.1": 5, "before.out.2": 3},
    ),
    "slice_scatter of every third": (
        written(aten.slice_scatter.default, call(aten.slice.Tensor, 1, 1, 12, 3), 1, 1, 12, 3), {"before.out.0": 4},
    ),
    "slices of pairs": (rotated, {"before.out.0": 6}),
    "select_scatter": (
        chain(call(aten.unflatten.int, 1, [6, 2]),
              written(aten.select_scatter.default, call(aten.select.int, 1, 4), 1, -2)),
        {"before.out.0": 4, "before.out.3": 2},
    ),
    "expand": (chain(call(aten.unsqueeze.default, 1), call(aten.expand.default, [-1, 5, -1])),
               {"before.out": 12, "after.in.0": 5}),
    "expand_as": (
        lambda g, x: g.call(aten.expand_as.default, g.call(aten.unsqueeze.default, x, 1),
                            g.call(aten.stack.default, [x, x], 1)), WHOLE,
    ),
    "broadcast_to": (chain(call(aten.unsqueeze.default, 2), call(aten.broadcast_to.default, [-1, -1, 5])),
                     {"before.out": 12, "after.in.1": 5}),
    "repeat": (call(aten.repeat.default, [1, 3]), {"before.out": 12, "after.in.0": 3}),
    "tile": (call(aten.tile.default, [3]), {"before.out": 12, "after.in.0": 3}),
    "repeat_interleave": (call(aten.repeat_interleave.self_int, 3, 1), {"before.out": 12, "after.in.1": 3}),
    "repeat_interleave of all": (
        lambda g, x: g.flat(g.call(aten.repeat_interleave.self_int, x, 3)), {"before.out": 12, "after.in.1": 3},
    ),
    "meshgrid": (gridded, {"before.out.0": 4, "before.out.1": 3}),
    "new_zeros": (new_of(aten.new_zeros.default), WHOLE),
    "new_ones": (new_of(aten.new_ones.default), WHOLE),
    "new_full": (new_of(aten.new_full.default, 2.5), WHOLE),
    "zeros_like": (like_of(aten.zeros_like.default), WHOLE),
    "full_like": (like_of(aten.full_like.default, 2.5), WHOLE),
    "arange": (lambda g, x: g.call(aten.mul.Tensor, x, g.call(creators.arange, g.x, 0, 12, 1, None)), {}),
    "index of rows": (chain(AS_3_4, by_table([None, 0], [2, 0, 2])), {"tensor_4.0": 3, "before.out.1": 4}),
    "index of columns": (chain(AS_3_4, by_table([None, None, 0], [3, 0])), {"tensor_4.0": 2, "before.out.0": 3}),
    "index of both": (chain(AS_3_4, by_table([None, 0, 0], [2, 0])), {"tensor_4.0": 2}),
    "index apart": (
        chain(call(aten.view.default, [-1, 3, 2, 2]), by_table([None, 0, None, 0], [1, 0]),
              call(aten.transpose.int, 0, 1)),
        {"tensor_4.0": 2, "before.out.1": 2},
    ),
    "index_select": (chain(AS_3_4, selected_rows), {"tensor_4.0": 2, "before.out.1": 4}),
    "gather": (gathered(aten.gather.default), {"before.out.1": 4}),
    "scatter": (scattered(aten.scatter.src), {"before.out.1": 4}),
    "scatter_add": (scattered(aten.scatter_add.default), {"before.out.1": 4}),
    "scatter_reduce": (scattered(aten.scatter_reduce.two, "amax"), {"before.out.1": 4}),
    "index_add": (added_rows, {"before.out.2": 4}),
    "index_put": (put_rows, {"before.out.2": 4}),
    "constant_pad_nd": (chain(AS_3_4, call(aten.constant_pad_nd.default, [0, 0, 2, 1])), THREE_FOUR),
    "pad": (chain(AS_3_4, call(aten.pad.default, [2, 0])), THREE_FOUR),
    "pad by reflection": (chain(AS_3_4, call(aten.pad.default, [2, 0], "reflect")), {"before.out.0": 3}),
    "pad that cuts": (chain(AS_3_4, call(aten.constant_pad_nd.default, [0, 0, -1, 0])), {"before.out.1": 4}),
    "im2col": (pixels(6, call(aten.im2col.default, [2, 2], [1, 1], [0, 0], [1, 1])), SIX),
    "col2im": (
        pixels(8, call(aten.flatten.using_ints, 2), call(aten.col2im.default, [3, 3], [2, 2], [1, 1], [0, 0], [1, 1])),
        {**STEM, "conv.out.0": 2},
    ),
    "unfold": (chain(AS_3_4, call(aten.unfold.default, 2, 2, 1)), {"before.out.0": 3}),
    "pixel_shuffle": (pixels(8, call(aten.pixel_shuffle.default, 2)), {**STEM, "conv.out.0": 2}),
    "pixel_unshuffle": (pixels(6, call(aten.pixel_unshuffle.default, 2)), SIX),
    "channel_shuffle": (pixels(6, call(aten.channel_shuffle.default, 3)), {**STEM, "conv.out.0": 3, "conv.out.1": 2}),
    "upsample_nearest2d": (pixels(6, call(aten.upsample_nearest2d.vec, None, [2.0, 2.0])), SIX),
    "upsample_bilinear2d": (pixels(6, call(aten.upsample_bilinear2d.vec, [5, 3], False, None)), SIX),
    "max_pool2d_with_indices": (
        pixels(6, call(aten.max_pool2d_with_indices.default, [2, 2]), first), SIX,
    ),
    "adaptive_max_pool2d": (pixels(6, call(aten.adaptive_max_pool2d.default, [1, 1]), first), SIX),
    "max_unpool2d": (unpooled, SIX),
    "grid_sampler": (sampled, SIX),
    "heads in the batch": (heads_in_batch, THREE_FOUR),
    "expanded to a computed size": (expanded_to_computed, THREE_FOUR),
}  # fmt: skip


@pytest.mark.parametrize("name", MOVES)
def test_removing_behind_an_operator_is_right(name: str) -> None:
    move, expected = MOVES[name]
    source = between(move)
    axes = analyse(source)
    assert {axis.name: axis.size for axis in axes.prunable()} == expected
    quiet, keep = silenced(source, axes, [axis for axis in axes.prunable() if axis.exact])
    assert difference(quiet, remove(quiet, axes, keep)) < 1e-9
    half = remove(source, axes, {axis.name: torch.arange(keep_count(axis.size, 0.3)) for axis in axes.prunable()})
    for batch in (1, 5):
        assert half.module(*half.examples(batch=batch)).shape == (batch, 3)


@pytest.mark.parametrize(
    ("move", "axis", "why"),
    [
        (call(aten.flip.default, [1]), "before.out", "flip at flip_default"),
        (
            chain(call(aten.view.default, [-1, 4, 3]), call(aten.reshape.default, [-1, 6, 2])),
            "before.out.0",
            "reshape at reshape_default",
        ),
        (
            chain(
                call(aten.view.default, [-1, 2, 6]),
                call(aten.permute.default, [0, 2, 1]),
                call(aten.reshape.default, [-1, 3, 4]),
            ),
            "before.out.0",
            "",
        ),
        (
            chain(
                call(aten.view.default, [-1, 3, 4]),
                call(aten.permute.default, [0, 2, 1]),
                call(aten.reshape.default, [-1, 6, 2]),
            ),
            "before.out.0",
            "reshape at reshape_default",
        ),
    ],
)
def test_what_freezes_names_the_call(move: Move, axis: str, why: str) -> None:
    axes = analyse(between(move))
    assert axes.frozen().get(axis, "") == why


def test_a_view_freezes_only_what_does_not_divide() -> None:
    """Of [batch, 3, 4, 5] seen as [batch, 6, 2, 5] the last dimension stays free."""
    move = chain(
        call(aten.view.default, [-1, 3, 4, 5]),
        call(aten.permute.default, [0, 2, 1, 3]),
        call(aten.reshape.default, [-1, 6, 2, 5]),
    )
    axes = analyse(between(move, 60))
    assert {axis.name: axis.size for axis in axes.prunable()} == {"before.out.2": 5}
    frozen = {name for name, why in axes.frozen().items() if why.startswith("reshape")}
    assert frozen == {"before.out.0", "before.out.1", "after.in.0", "after.in.1"}


def test_every_operator_that_moves_has_a_rule() -> None:
    named = (*operators.SHAPES, *operators.INDEXING, *operators.RESAMPLING, *operators.POOLING, *operators.CREATORS)
    assert [name for name in named if operators.targets()[f"aten.{name}"] not in OPERATORS] == []
