"""Dimensions as an analysis finds them, as rows of chips: one colour an axis."""

from __future__ import annotations

from collections.abc import Sequence

from docs.images.svg import GREY, PALETTE, QUIET, Colour, Sheet, mono_width
from modelpress.graph.axes import Axes
from modelpress.graph.axes.expr import Atom, Dims, Expr, Product, Sum, resolve
from modelpress.graph.model import Model

SIGNS = {Product: "×", Sum: " + "}
PAD = 2


class Chips:
    """How the atoms of one model are called and coloured: axes by their names, frozen ones grey by symbol or size."""

    def __init__(self, model: Model, axes: Axes) -> None:
        self.axes = axes
        found = [(axes.atom(axis), axis.name) for axis in axes.prunable()]
        self.colours = {atom: colour for (atom, _), colour in zip(found, PALETTE, strict=False)}
        self.names = dict(found)
        for spec in model.inputs:
            self._name_symbols(spec.shape, axes.values[spec.name])

    def _name_symbols(self, shape: Sequence[int | str], dims: object) -> None:
        assert isinstance(dims, list)
        for symbol, dim in zip(shape, dims, strict=True):
            atom = resolve(dim)
            if isinstance(symbol, str) and isinstance(atom, Atom):
                self.names.setdefault(atom, symbol)

    def word(self, atom: Atom) -> str:
        return self.names.get(atom, str(atom.size))

    def colour(self, atom: Atom) -> Colour:
        return self.colours.get(atom, GREY)

    def draw(self, sheet: Sheet, x: float, y: float, dims: Dims) -> float:
        """``[batch, length, heads × size]`` from ``x`` on; returns where it ends."""
        x = self._sign(sheet, x, y, "[")
        for i, dim in enumerate(dims):
            x = self._sign(sheet, x, y, ", ") if i else x
            x = self._expr(sheet, x, y, dim)
        return self._sign(sheet, x, y, "]")

    def _expr(self, sheet: Sheet, x: float, y: float, expr: Expr) -> float:
        expr = resolve(expr)
        if isinstance(expr, Atom):
            return x + sheet.chip(x, y, self.word(expr), self.colour(expr))
        for i, part in enumerate(expr.parts):
            x = self._sign(sheet, x, y, SIGNS[type(expr)]) if i else x
            x = self._expr(sheet, x, y, part)
        return x

    @staticmethod
    def _sign(sheet: Sheet, x: float, y: float, sign: str) -> float:
        sheet.text(x + PAD, y + 14.5, sign, mono=True, colour=QUIET)
        return x + mono_width(sign) + 2 * PAD
