"""One block three times: as the user wrote it, as torch exports it, as modelpress lifts it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, export

from docs.images.svg import LEAF, QUIET, WHITE, Sheet
from modelpress.graph.leaves import leaf_type
from modelpress.graph.model import Model

COLUMNS = (24, 270, 634)
WIDTHS = (216, 318, 200)
TOP, STEP = 84, 44
HEADS = (
    ("your module", "code"),
    ("exported", "aten operators; weights are inputs"),
    ("lifted", "torch.nn leaves at your paths"),
)


def lifting(
    net: nn.Module, example: Tensor, model: Model, code: Sequence[str], skip: tuple[int, int], title: str
) -> str:
    """``code`` is one piece of the source for each operator, in order; ``skip`` are the ends of the residual path."""
    sheet = Sheet(title)
    program = export(net, (example,), dynamic_shapes=({0: Dim.DYNAMIC},))
    exported = [node for node in program.graph.nodes if node.op == "call_function"]
    lifted = [node for node in model.module.graph.nodes if node.op in ("call_module", "call_function")]
    for x, (head, under) in zip(COLUMNS, HEADS, strict=True):
        sheet.text(x, 32, head, size=14, bold=True)
        sheet.text(x, 50, under, size=11, colour=QUIET)
    for i, (source, before, after) in enumerate(zip(code, exported, lifted, strict=True)):
        y = TOP + STEP * i
        sheet.text(COLUMNS[0], y + 4, source, mono=True)
        _exported(sheet, before, y)
        _lifted(sheet, model, after, y)
        if i + 1 < len(code):
            for x in COLUMNS[1:]:
                sheet.path(f"M{x + 20} {y + 15} V{y + STEP - 16}")
    start, end = (TOP + STEP * i for i in skip)
    for x in COLUMNS[1:]:
        sheet.path(f"M{x} {start} C{x - 26} {start + 20} {x - 26} {end - 20} {x - 2} {end}")
    return sheet.render()


def _exported(sheet: Sheet, node: fx.Node, y: float) -> None:
    arguments = [str(a) for a in node.args if isinstance(a, fx.Node)]
    weights = [name for name in arguments if name.startswith(("p_", "b_"))]
    values = [name for name in arguments if name not in weights]
    shown = [*values, *weights[:1], *(["…"] if len(weights) > 1 else [])]
    words = f"{_operator(node)}({', '.join(shown)})"
    sheet.box(COLUMNS[1], y - 14, WIDTHS[1], 28, WHITE)
    sheet.text(COLUMNS[1] + 8, y + 4, words, size=11, mono=True)


def _lifted(sheet: Sheet, model: Model, node: fx.Node, y: float) -> None:
    is_leaf = node.op == "call_module"
    sheet.box(COLUMNS[2], y - 14, WIDTHS[2], 28, LEAF if is_leaf else WHITE)
    words = str(node.target) if is_leaf else _operator(node)
    sheet.text(COLUMNS[2] + 8, y + 4, words, mono=True, bold=is_leaf)
    if is_leaf:
        leaf = model.module.get_submodule(str(node.target))
        sheet.text(COLUMNS[2] + WIDTHS[2] - 8, y + 4, leaf_type(leaf), size=11, anchor="end", colour=QUIET)


def _operator(node: fx.Node) -> str:
    assert isinstance(node.target, torch._ops.OpOverload)
    return f"aten.{node.target.overloadpacket.__name__}"
