"""A dimension cell by cell: segments side by side, each a product of atoms."""

from __future__ import annotations

from collections.abc import Sequence

from docs.images.dims import Chips
from docs.images.svg import QUIET, Colour, Sheet
from modelpress.graph.axes import analyse
from modelpress.graph.axes.expr import Atom, factors, resolve, segments
from modelpress.graph.model import Model

LEFT, CELL, GAP = 24, 28, 12


def anatomy(model: Model, parameter: str, labels: Sequence[str], title: str) -> str:
    """The first dimension of ``parameter``, whose segments are products of two atoms and are called ``labels``."""
    axes = analyse(model)
    chips = Chips(model, axes)
    parts = segments(axes.parameters[parameter][0])
    sheet = Sheet(title)
    sheet.text(LEFT, 34, f"{parameter}, dimension 0", mono=True, size=13, bold=True)
    x, position = float(LEFT), 0
    for label, part in zip(labels, parts, strict=True):
        major, minor = (resolve(factor) for factor in factors(part))
        assert isinstance(major, Atom)
        assert isinstance(minor, Atom)
        _segment(sheet, x, position, chips, (major, minor))
        sheet.text(x, 72, f"{label} =", mono=True, bold=True)
        end = x + 34 + sheet.chip(x + 34, 58, chips.word(major), chips.colour(major))
        sheet.text(end + 4, 72.5, "×", mono=True, colour=QUIET)
        sheet.chip(end + 16, 58, chips.word(minor), chips.colour(minor))
        x, position = x + part.size * CELL + GAP, position + part.size
    for y, words in ((111, "position"), (139, "major index"), (167, "minor index")):
        sheet.text(x + 4, y, words, size=11, colour=QUIET)
    return sheet.render()


def _segment(sheet: Sheet, x: float, position: int, chips: Chips, product: tuple[Atom, Atom]) -> None:
    major, minor = product
    for k in range(major.size * minor.size):
        left = x + k * CELL
        sheet.text(left + CELL / 2, 111, str(position + k), size=11, mono=True, anchor="middle", colour=QUIET)
        for y, atom, index in ((120, major, k // minor.size), (148, minor, k % minor.size)):
            sheet.box(left, y, CELL, 28, _shade(chips.colour(atom), index), radius=0)
            sheet.text(left + CELL / 2, y + 19, str(index), mono=True, anchor="middle")


def _shade(colour: Colour, index: int) -> Colour:
    """Every other index on white, so that neighbours can be told apart."""
    return colour if index % 2 == 0 else Colour("#ffffff", colour.edge)
