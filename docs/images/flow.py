"""A lifted graph from top to bottom, with the dimensions of each value and of each weight beside its node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from torch import fx

from docs.images.dims import Chips
from docs.images.svg import GREY, LEAF, PALETTE, QUIET, WHITE, Sheet, mono_width
from modelpress.graph.axes import Axes, analyse
from modelpress.graph.behaviour import Attention
from modelpress.graph.leaves import leaf_type
from modelpress.graph.model import Model

LEFT, BOX, TOP, LINE_STEP, GAP = 40, 164, 64, 24, 26
"""Where boxes begin, how wide they are, where the first is; from one line of a row to the next, and between rows."""


@dataclass(frozen=True)
class Row:
    """A node to show.

    ``values`` are the nodes whose values are drawn beside it, by what they are called; its own unless told.
    ``label`` is what its box says instead of its name, where it stands for several nodes.
    """

    node: str
    values: Mapping[str, str] = field(default_factory=dict)
    label: str = ""


@dataclass
class Flow:
    """One picture in the making."""

    model: Model
    axes: Axes
    chips: Chips
    sheet: Sheet

    def draw(self, rows: Sequence[Row], skips: Mapping[str, str]) -> None:
        nodes = {node.name: node for node in self.model.module.graph.nodes}
        spans: dict[str, tuple[float, float]] = {}
        y = float(TOP)
        for row in rows:
            height = max(40, self._dims(nodes[row.node], row, y))
            self._node(nodes[row.node], row, y, height)
            spans[row.node] = (y, y + height)
            y += height + GAP
        for above, below in pairwise(rows):
            self.sheet.path(f"M{LEFT + BOX / 2:g} {spans[above.node][1]:g} V{spans[below.node][0] - 2:g}")
        for start, end in skips.items():
            a, b = (sum(spans[name]) / 2 for name in (start, end))
            self.sheet.path(f"M{LEFT} {a:g} C{LEFT - 26} {a + 20:g} {LEFT - 26} {b - 20:g} {LEFT - 2} {b:g}")

    def legend(self) -> None:
        x = float(LEFT)
        for axis in self.axes.prunable():
            x += self.sheet.chip(x, 20, axis.name, self.chips.colour(self.axes.atom(axis))) + 6
            words = f"{axis.size}, inexact: {axis.inexact_because}" if axis.inexact_because else str(axis.size)
            self.sheet.text(x, 34.5, words, colour=QUIET)
            x += mono_width(words) + 14
        x += self.sheet.chip(x, 20, "n", GREY) + 6
        self.sheet.text(x, 34.5, "frozen", colour=QUIET)

    def _node(self, node: fx.Node, row: Row, y: float, height: float) -> None:
        is_leaf = node.op == "call_module"
        self.sheet.box(LEFT, y, BOX, height, LEAF if is_leaf else WHITE)
        name = row.label or (str(node.target) if is_leaf else node.name)
        middle = y + height / 2
        self.sheet.text(LEFT + BOX / 2, middle - 3, name, mono=True, anchor="middle", bold=True)
        kind = "operators" if row.label else self._kind(node)
        self.sheet.text(LEFT + BOX / 2, middle + 13, kind, size=11, anchor="middle", colour=QUIET)

    def _kind(self, node: fx.Node) -> str:
        if node.op == "call_module":
            leaf = self.model.module.get_submodule(str(node.target))
            return f"Attention, scale {leaf.scale:g}" if isinstance(leaf, Attention) else leaf_type(leaf)
        return "input" if node.op == "placeholder" else str(node.target)

    def _dims(self, node: fx.Node, row: Row, y: float) -> float:
        """Draw the lines beside a node; returns how high they are."""
        lines = [(label, self.axes.values[name], QUIET) for label, name in (row.values or {"gives": row.node}).items()]
        weight = self.axes.parameters.get(f"{node.target}.weight") if node.op == "call_module" else None
        if weight is not None:
            lines.append(("weight", weight, PALETTE[1].edge))
        x = LEFT + BOX + 60
        for i, (label, dims, colour) in enumerate(lines):
            assert isinstance(dims, list)
            self.sheet.text(x - 8, y + LINE_STEP * i + 13, label, size=11, anchor="end", colour=colour)
            self.chips.draw(self.sheet, x, y + LINE_STEP * i - 2, dims)
        return LINE_STEP * len(lines) - 6


def flow(model: Model, title: str, rows: Sequence[Row], skips: Mapping[str, str]) -> str:
    """``skips`` are residual connections, from a row's node to another's."""
    axes = analyse(model)
    picture = Flow(model, axes, Chips(model, axes), Sheet(title))
    picture.legend()
    picture.draw(rows, skips)
    return picture.sheet.render()
