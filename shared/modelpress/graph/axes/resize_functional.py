"""Writing new sizes among the arguments of operators with computed weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

from modelpress.graph.axes.call import argument, set_argument
from modelpress.graph.axes.functional import CONVOLUTIONS, TRANSPOSED
from modelpress.graph.axes.resize import OperatorResize, Resizer
from modelpress.graph.axes.unify import split

aten = torch.ops.aten


def convolution(node: fx.Node, resizer: Resizer) -> None:
    """Groups follow from the channels in and the inputs of one group, which a transposed kernel has first."""
    _, weight, *_ = node.all_input_nodes
    spatial = len(resizer.dims(weight)) - 2
    channels = resizer.dims(node.all_input_nodes[0])[-spatial - 1]
    set_argument(node, "groups", resizer.size(channels) // resizer.size(resizer.dims(weight)[1]))


def convolution_transposed(node: fx.Node, resizer: Resizer) -> None:
    _, weight, *_ = node.all_input_nodes
    spatial = len(resizer.dims(weight)) - 2
    channels = resizer.dims(node)[-spatial - 1]
    set_argument(node, "groups", resizer.size(channels) // resizer.size(resizer.dims(weight)[1]))


def normalized_shape(node: fx.Node, resizer: Resizer) -> None:
    count = len(argument(node, "normalized_shape"))
    set_argument(node, "normalized_shape", [resizer.size(dim) for dim in resizer.dims(node)[-count:]])


def group_norm(node: fx.Node, resizer: Resizer) -> None:
    pieces = split(resizer.dims(node)[1], argument(node, "num_groups"), "group norm")
    if pieces is not None:  # None where nothing of the channels may go
        set_argument(node, "num_groups", resizer.size(pieces[0]))


OPERATORS: Mapping[Any, OperatorResize] = {
    **dict.fromkeys(CONVOLUTIONS, convolution),
    **dict.fromkeys(TRANSPOSED, convolution_transposed),
    aten.layer_norm.default: normalized_shape,
    aten.rms_norm.default: normalized_shape,
    aten.group_norm.default: group_norm,
}
