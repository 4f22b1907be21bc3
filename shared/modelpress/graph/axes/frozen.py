"""What must stay as it is: inputs, outputs, and what operators touch for which nothing better is possible."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import fx

from modelpress.graph.axes.call import Call, Value, tensors
from modelpress.graph.axes.expr import constants, freeze
from modelpress.graph.axes.movement import Rule
from modelpress.graph.shapes import Shapes

aten = torch.ops.aten


def frozen(call: Call) -> Value:
    """Nothing may be removed from what goes in or comes out."""
    freeze_inputs(call.node, call.values, call.why)
    return frozen_value(call.shapes[call.node], call.why)


def freeze_inputs(node: fx.Node, values: Mapping[fx.Node, Value], why: str) -> None:
    for dim in chain.from_iterable(dims for source in node.all_input_nodes for dims in tensors(values[source])):
        freeze(dim, why)


def frozen_value(shapes: Shapes, why: str) -> Value:
    """Frozen dimensions of those shapes."""
    if isinstance(shapes, list):
        return tuple(constants(shape, why) for shape in shapes)
    return None if shapes is None else constants(shapes, why)


FROZEN: Mapping[Any, Rule] = dict.fromkeys(
    (aten.affine_grid_generator.default, aten.masked_scatter.default, aten.take_along_dim.default), frozen
)
"""What is written or read where depends on every element before it, or on numbers that count pixels."""
