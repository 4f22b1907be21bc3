"""Operators that concatenate, cut and write parts of a dimension: each part is a segment of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx

from modelpress.graph.axes.broadcast import align
from modelpress.graph.axes.call import Call, Value, argument, set_argument
from modelpress.graph.axes.expr import Atom, Dims, Expr, atoms, constant, constants, freeze, total
from modelpress.graph.axes.movement import Rule
from modelpress.graph.axes.resize import OperatorResize, Resizer
from modelpress.graph.axes.unify import split, unify, unify_all

aten = torch.ops.aten
Range = tuple[int, int, int]
"""Sizes before, of, and after a part of a dimension."""


def concatenate(call: Call) -> Value:
    return _concatenated(call, call.dim(rank=len(call.shape)))


def concatenate_rows(call: Call) -> Value:
    """vstack; what has fewer than two dimensions becomes a row."""
    return _concatenated(call, 0)


def concatenate_columns(call: Call) -> Value:
    return _concatenated(call, min(1, len(call.shape) - 1))


def _concatenated(call: Call, at: int) -> Dims:
    one = constant(1, "size 1")
    parts = [call.dims(node) for node in call.argument("tensors")]
    full = [[one] * (len(call.shape) - len(dims)) + dims for dims in parts]
    across = [[dim for i, dim in enumerate(dims) if i != at] for dims in full]
    others = align(across, [size for i, size in enumerate(call.shape) if i != at], call.why)
    return [*others[:at], total(dims[at] for dims in full), *others[at:]]


def stack(call: Call) -> Value:
    parts = [call.dims(node) for node in call.argument("tensors")]
    at = call.dim(rank=len(call.shape))
    others = align(parts, [size for i, size in enumerate(call.shape) if i != at], call.why)
    return [*others[:at], constant(len(parts), call.why), *others[at:]]


def divide(call: Call) -> Value:
    """chunk and split: the segments of one dimension."""
    dims, at = call.dims(0), call.dim()
    return tuple(_with(dims, at, part) for part in _parts(call, dims[at], [shape[at] for shape in call.out_shapes]))


def unbind(call: Call) -> Value:
    dims, at = call.dims(0), call.dim()
    freeze(dims[at], call.why)
    return tuple(_without(dims, at) for _ in call.out_shapes)


def select(call: Call) -> Value:
    """One index of a dimension, which is a segment of its own."""
    dims, at = call.dims(0), call.dim()
    _part(call, dims[at], call.argument("index"), 1)
    return _without(dims, at)


def slice_of(call: Call) -> Value:
    """A segment of one dimension where it takes every element of a range, frozen otherwise."""
    dims, at = call.dims(0), call.dim()
    return _with(dims, at, _part(call, dims[at], call.argument("start"), call.shape[at]))


def select_scatter(call: Call) -> Value:
    """What is written has one dimension less, which is a single index of the whole."""
    dims, at = call.dims(0), call.dim()
    _part(call, dims[at], call.argument("index"), 1)
    unify_all(zip(_without(dims, at), call.dims("src"), strict=True), call.why)
    return dims


def slice_scatter(call: Call) -> Value:
    """What is written is a segment of one dimension."""
    dims, at, written = call.dims(0), call.dim(), call.dims("src")
    part = _part(call, dims[at], call.argument("start"), written[at].size)
    unify_all(zip(_with(dims, at, part), written, strict=True), call.why)
    return dims


def _part(call: Call, dim: Expr, start: Any, size: int) -> Expr:
    """``size`` elements of ``dim`` from ``start``: a segment, or a frozen dimension where none can be told."""
    if size == dim.size:
        return dim
    step = _step(call.node)
    if step != 1:
        return _every(call, dim, step, size)
    _, part, _ = _parts(call, dim, around(dim.size, 0 if isinstance(start, fx.Node) else start, size))
    return part


def _every(call: Call, dim: Expr, step: Any, size: int) -> Expr:
    """``x[::2]``: one of the minor factor's indices, for every index of the major one."""
    pieces = split(dim, size, call.why) if isinstance(step, int) and size * step == dim.size else None
    if pieces is None:
        freeze(dim, call.why)
        return constant(size, call.why)
    freeze(pieces[1], call.why)
    return pieces[0]


def _parts(call: Call, dim: Expr, sizes: Sequence[int]) -> Dims:
    """``dim`` cut into segments; constants where it is frozen, as it is by a range that the graph computes."""
    if any(call.values[source] is None for source in call.node.all_input_nodes):
        freeze(dim, call.why)
    if all(atom.frozen for atom in atoms(dim)):
        return constants(sizes, call.why)
    parts: Dims = [Atom(size) for size in sizes]
    unify(dim, total(part for part in parts if part.size), call.why)
    return parts


def _step(node: fx.Node) -> Any:
    return argument(node, "step") if node.target in (aten.slice.Tensor, aten.slice_scatter.default) else 1


def around(old: int, start: int | None, size: int) -> Range:
    """Of ``size`` elements from ``start``, which counts from the end if it is negative."""
    first = start or 0
    first = min(max(first + old if first < 0 else first, 0), old - size)
    return first, size, old - first - size


def _with(dims: Dims, at: int, dim: Expr) -> Dims:
    return [*dims[:at], dim, *dims[at + 1 :]]


def _without(dims: Dims, at: int) -> Dims:
    return [*dims[:at], *dims[at + 1 :]]


def divided(node: fx.Node, resizer: Resizer) -> None:
    """chunk and split into equal parts become a split into the parts' own sizes where those change."""
    parts = resizer.parts(node)
    at = int(argument(node, "dim")) % len(parts[0])
    along = [dims[at] for dims in parts]
    if resizer.changed(along):
        node.args, node.kwargs = (node.args[0], [resizer.size(dim) for dim in along], at), {}
        node.target = aten.split_with_sizes.default


def sliced(node: fx.Node, resizer: Resizer) -> None:
    at, whole = _whole(node, resizer)
    _move_range(node, whole, resizer.dims(node)[at], resizer)


def slice_written(node: fx.Node, resizer: Resizer) -> None:
    at, whole = _whole(node, resizer)
    _move_range(node, whole, resizer.dims(node.all_input_nodes[1])[at], resizer)


def narrowed(node: fx.Node, resizer: Resizer) -> None:
    at, whole = _whole(node, resizer)
    part = resizer.dims(node)[at]
    if resizer.changed([whole]):
        set_argument(node, "start", _new_start(node, "start", whole, part.size, resizer))
        set_argument(node, "length", resizer.size(part))


def selected(node: fx.Node, resizer: Resizer) -> None:
    """The index moves by what goes before it."""
    _, whole = _whole(node, resizer)
    if resizer.changed([whole]):
        set_argument(node, "index", _new_start(node, "index", whole, 1, resizer))


def _whole(node: fx.Node, resizer: Resizer) -> tuple[int, Expr]:
    source = resizer.source(node)
    at = int(argument(node, "dim")) % len(source)
    return at, source[at]


def _move_range(node: fx.Node, whole: Expr, part: Expr, resizer: Resizer) -> None:
    """By what goes before and inside it; a range of all, or of every second index, goes to the end wherever that is."""
    if whole.size == part.size or _step(node) != 1 or not resizer.changed([whole]):
        return
    start = _new_start(node, "start", whole, part.size, resizer)
    set_argument(node, "start", start)
    set_argument(node, "end", start + resizer.size(part))


def _new_start(node: fx.Node, name: str, whole: Expr, size: int, resizer: Resizer) -> int:
    before, _, _ = around(whole.size, argument(node, name), size)
    return int((resizer.kept(whole) < before).sum())


PIECES: Mapping[Any, Rule] = {
    aten.cat.default: concatenate,
    aten.chunk.default: divide,
    aten.concat.default: concatenate,
    aten.hstack.default: concatenate_columns,
    aten.narrow.default: slice_of,
    aten.select.int: select,
    aten.select_scatter.default: select_scatter,
    aten.slice.Tensor: slice_of,
    aten.slice_scatter.default: slice_scatter,
    aten.split.Tensor: divide,
    aten.split.sizes: divide,
    aten.split_with_sizes.default: divide,
    aten.stack.default: stack,
    aten.unbind.int: unbind,
    aten.vstack.default: concatenate_rows,
}

RESIZERS: Mapping[Any, OperatorResize] = {
    aten.chunk.default: divided,
    aten.narrow.default: narrowed,
    aten.select.int: selected,
    aten.select_scatter.default: selected,
    aten.slice.Tensor: sliced,
    aten.slice_scatter.default: slice_written,
    aten.split.Tensor: divided,
    aten.split.sizes: divided,
    aten.split_with_sizes.default: divided,
}
