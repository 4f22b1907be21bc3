"""Weights as grids of their first two dimensions: what goes when indices of an axis are removed, and what is left."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from docs.images.dims import Chips
from docs.images.svg import QUIET, WHITE, Colour, Sheet
from modelpress.graph.axes import Axes, analyse, remove
from modelpress.graph.axes.expr import Atom, Expr, resolve
from modelpress.graph.model import Model

CELL, GAP, TOP = 22, 54, 96
GONE = Colour("#ffffff", "#c9d0d8")


def removal(model: Model, axis_name: str, gone: Sequence[int], tensors: Sequence[str], title: str) -> str:
    """``tensors`` in a row, before and after the indices ``gone`` of the axis are removed."""
    axes = analyse(model)
    axis = axes.axis(axis_name)
    keep = torch.tensor([i for i in range(axis.size) if i not in gone])
    small = remove(model, axes, {axis_name: keep})
    chips = Chips(model, axes)
    sheet = Sheet(title)
    sheet.text(24, 34, f'remove(model, axes, {{"{axis_name}": keep}})', mono=True, size=13)
    sheet.text(24, 54, f"keep = {keep.tolist()}: indices {' and '.join(map(str, gone))} go wherever the axis runs",
               size=12, colour=QUIET)  # fmt: skip
    before, after = _tensors(model), _tensors(small)
    height = max(_rows(before[name]) for name in tensors) * CELL
    for caption, y, table, crossed in (
        ("before", TOP, before, set(gone)),
        ("after", TOP + height + 84, after, set[int]()),
    ):
        sheet.text(24, y + 14, caption, bold=True)
        x = 100.0
        for name in tensors:
            x = _grid(sheet, x, y, name, table[name], axes, chips, (axes.atom(axis), crossed)) + GAP
    return sheet.render()


def _tensors(model: Model) -> dict[str, Tensor]:
    return {**dict(model.module.named_parameters()), **dict(model.module.named_buffers())}


def _rows(tensor: Tensor) -> int:
    return tensor.shape[0]


def _grid(
    sheet: Sheet, x: float, y: float, name: str, tensor: Tensor, axes: Axes, chips: Chips, cut: tuple[Atom, set[int]]
) -> float:
    """Rows are dimension 0 and columns dimension 1; strips at the left and above are in the axes' colours."""
    dims = axes.parameters[name]
    rows, columns = tensor.shape[0], tensor.shape[1] if tensor.ndim > 1 else 1
    width = max(columns * CELL, 7.5 * len(name))
    sheet.text(x + 12, y + rows * CELL + 34, name, size=12, mono=True)
    sheet.text(x + 12, y + rows * CELL + 50, str(list(tensor.shape)), size=11, mono=True, colour=QUIET)
    crossed_rows = cut[1] if resolve(dims[0]) is cut[0] else set()
    crossed_columns = cut[1] if tensor.ndim > 1 and resolve(dims[1]) is cut[0] else set()
    sheet.box(x, y + 12, 8, rows * CELL, _strip(dims[0], chips), radius=2)
    if tensor.ndim > 1:
        sheet.box(x + 12, y, columns * CELL, 8, _strip(dims[1], chips), radius=2)
    for r in range(rows):
        for c in range(columns):
            left, top = x + 12 + c * CELL, y + 12 + r * CELL
            goes = r in crossed_rows or c in crossed_columns
            sheet.box(left, top, CELL, CELL, GONE if goes else WHITE, radius=0)
            if goes:
                sheet.path(f"M{left + 5} {top + 5} l12 12 m0 -12 l-12 12", arrow=False, colour="#c0392b")
    return x + 12 + width


def _strip(dim: Expr, chips: Chips) -> Colour:
    atom = resolve(dim)
    assert isinstance(atom, Atom)
    colour = chips.colour(atom)
    return Colour(colour.edge, colour.edge)
