"""Operators over space: pooling, upsampling, padding, patches. Space itself stays as it is, channels are free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

from modelpress.graph.axes.call import Call, Value, argument, set_argument
from modelpress.graph.axes.expr import Dims, Expr, constant, constants, freeze, product, total
from modelpress.graph.axes.movement import Rule
from modelpress.graph.axes.resize import OperatorResize, Resizer
from modelpress.graph.axes.unify import split, unify

aten = torch.ops.aten


def space(spatial: int) -> Rule:
    """The last dimensions are pooled or sampled; with indices or without."""

    def rule(call: Call) -> Value:
        dims = call.dims(0)
        _freeze_space(call, dims, spatial)
        shapes = call.shapes[call.node]
        if isinstance(shapes, list):
            return tuple([*dims[:-spatial], *constants(shape[-spatial:], f"space of {call.why}")] for shape in shapes)
        return [*dims[:-spatial], *constants(call.shape[-spatial:], f"space of {call.why}")]

    return rule


def unpool(call: Call) -> Value:
    """Values and the places that pooling took them from."""
    for dim, place in zip(call.dims("self"), call.dims("indices"), strict=True):
        unify(dim, place, call.why)
    return space(2)(call)


def grid_sampler(call: Call) -> Value:
    """Each pixel of the grid names a place of the image; images and grids are paired."""
    image, grid = call.dims("input"), call.dims("grid")
    unify(image[0], grid[0], call.why)
    _freeze_space(call, image, len(image) - 2)
    _freeze_space(call, grid, len(grid) - 1)
    return [*image[:2], *constants(call.shape[2:], f"space of {call.why}")]


def pad(call: Call) -> Value:
    """Constants beside a dimension are a fixed segment of it; what mirrors or cuts a dimension freezes it."""
    dims = list(call.dims(0))
    given = call.argument("pad")
    constant_mode = call.node.target is aten.constant_pad_nd.default or call.argument("mode") == "constant"
    for k, (before, after) in enumerate(zip(given[::2], given[1::2], strict=True), start=1):
        if (before, after) != (0, 0):
            dims[-k] = _padded(call, dims[-k], before, after, call.shape[-k], constant_mode)
    return dims


def _padded(call: Call, dim: Expr, before: Any, after: Any, size: int, constant_mode: bool) -> Expr:
    computed = isinstance(before, fx.Node) or isinstance(after, fx.Node)
    if computed or not constant_mode or min(before, after) < 0:
        freeze(dim, call.why)
        return constant(size, call.why)
    beside = [constant(n, f"padding of {call.why}") for n in (before, after)]
    return total(part for part in (beside[0], dim, beside[1]) if part.size)


def im2col(call: Call) -> Value:
    """Patches: each channel becomes a run of the kernel's places."""
    dims = call.dims(0)
    _freeze_space(call, dims, 2)
    channels = dims[-3]
    places = constant(call.shape[-2] // channels.size, f"kernel of {call.why}")
    return [*dims[:-3], product([channels, places]), constant(call.shape[-1], f"space of {call.why}")]


def col2im(call: Call) -> Value:
    dims = call.dims(0)
    freeze(dims[-1], f"space of {call.why}")
    channels = _major(call, dims[-2], call.shape[-3], f"kernel of {call.why}")
    return [*dims[:-2], channels, *constants(call.shape[-2:], f"space of {call.why}")]


def windows(call: Call) -> Value:
    """``Tensor.unfold``: windows along one dimension, their elements in a new last one."""
    dims, at = call.dims(0), call.dim("dimension")
    freeze(dims[at], call.why)
    return [*dims[:at], constant(call.shape[at], call.why), *dims[at + 1 :], constant(call.shape[-1], call.why)]


def pixel_shuffle(call: Call) -> Value:
    """Channels are the minor factor's pixels of a block each."""
    dims = call.dims(0)
    _freeze_space(call, dims, 2)
    channels = _major(call, dims[-3], call.shape[-3], f"block of {call.why}")
    return [*dims[:-3], channels, *constants(call.shape[-2:], f"space of {call.why}")]


def pixel_unshuffle(call: Call) -> Value:
    dims = call.dims(0)
    _freeze_space(call, dims, 2)
    block = constant(call.shape[-3] // dims[-3].size, f"block of {call.why}")
    return [*dims[:-3], product([dims[-3], block]), *constants(call.shape[-2:], f"space of {call.why}")]


def channel_shuffle(call: Call) -> Value:
    dims = call.dims(0)
    pieces = split(dims[1], call.argument("groups"), call.why)
    if pieces is None:
        freeze(dims[1], call.why)
        return dims
    group, member = pieces
    return [dims[0], product([member, group]), *dims[2:]]


def _freeze_space(call: Call, dims: Dims, spatial: int) -> None:
    for dim in dims[-spatial:]:
        freeze(dim, f"space of {call.why}")


def _major(call: Call, dim: Expr, size: int, why_minor: str) -> Expr:
    """The first ``size`` of the two factors of ``dim``; the second must stay."""
    pieces = split(dim, size, call.why)
    if pieces is None:
        freeze(dim, call.why)
        return constant(size, call.why)
    freeze(pieces[1], why_minor)
    return pieces[0]


def shuffled_groups(node: fx.Node, resizer: Resizer) -> None:
    pieces = split(resizer.source(node)[1], argument(node, "groups"), "channel_shuffle")
    if pieces is not None:  # None where nothing of the channels may go
        set_argument(node, "groups", resizer.size(pieces[0]))


def _of(dimensions: int, *names: str) -> Mapping[Any, Rule]:
    """`space` of so many dimensions for operators by name, as in ``max_pool2d.default``."""
    overloads = (name.split(".") for name in names)
    return {getattr(getattr(aten, name), overload): space(dimensions) for name, overload in overloads}


RESAMPLING: Mapping[Any, Rule] = {
    **_of(
        1, "adaptive_avg_pool1d.default", "adaptive_max_pool1d.default", "avg_pool1d.default", "max_pool1d.default",
        "upsample_linear1d.vec", "upsample_nearest1d.vec",
    ),
    **_of(
        2, "adaptive_avg_pool2d.default", "adaptive_max_pool2d.default", "avg_pool2d.default", "max_pool2d.default",
        "max_pool2d_with_indices.default", "upsample_bicubic2d.vec", "upsample_bilinear2d.default",
        "upsample_bilinear2d.vec", "upsample_nearest2d.default", "upsample_nearest2d.vec",
    ),
    **_of(
        3, "adaptive_avg_pool3d.default", "adaptive_max_pool3d.default", "avg_pool3d.default", "max_pool3d.default",
        "upsample_nearest3d.vec", "upsample_trilinear3d.vec",
    ),
    aten.channel_shuffle.default: channel_shuffle,
    aten.col2im.default: col2im,
    aten.constant_pad_nd.default: pad,
    aten.grid_sampler.default: grid_sampler,
    aten.im2col.default: im2col,
    aten.max_unpool2d.default: unpool,
    aten.pad.default: pad,
    aten.pixel_shuffle.default: pixel_shuffle,
    aten.pixel_unshuffle.default: pixel_unshuffle,
    aten.unfold.default: windows,
}  # fmt: skip

RESIZERS: Mapping[Any, OperatorResize] = {aten.channel_shuffle.default: shuffled_groups}
