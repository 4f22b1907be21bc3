"""Multiply-accumulates of convolutions and linear layers."""

from __future__ import annotations

import math

from torch import Tensor, nn

from modelpress.graph.model import Model
from modelpress.graph.shapes import value_shapes

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def multiply_accumulates(model: Model) -> dict[str, int]:
    """By path of the layer, for one sample, all its calls together.

    Each output value of a layer costs as many as one output channel has weights.
    """
    shapes = value_shapes(model, batch=2)
    found: dict[str, int] = {}
    for node in model.module.graph.nodes:
        if node.op != "call_module":
            continue
        layer = model.module.get_submodule(str(node.target))
        if isinstance(layer, LAYERS):
            weight = layer.weight
            assert isinstance(weight, Tensor)
            outputs_per_sample = math.prod(shapes[node.name][1:])
            cost = outputs_per_sample * weight[0].numel()
            found[str(node.target)] = found.get(str(node.target), 0) + cost
    return found
