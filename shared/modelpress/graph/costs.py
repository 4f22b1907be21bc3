"""What a model costs, layer by layer: parameters, bytes of weights and of activations, multiply-accumulates.

In use:

    rows = costs(model)
    dearest = max(rows, key=lambda row: row.macs).path
    total = totals(rows)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from torch import Tensor, fx, nn
from torch.nn.utils import parametrize
from torch.utils import _pytree as pytree

from modelpress.graph.axes.call import operator_name
from modelpress.graph.leaves import leaf_type
from modelpress.graph.model import BATCH, Model
from modelpress.graph.multiplications import leaf_macs, operator_macs
from modelpress.graph.shapes import fake_values


@dataclass(frozen=True)
class LayerCost:
    """Of a leaf, all its calls together; of a parameter or buffer of no leaf; or of one call of an operator.

    ``path`` is the user's path, or ``matmul at matmul_1`` (operator and node); ``type`` the leaf's type, ``Parameter``,
    ``Buffer`` or the operator's name. ``parameters`` counts the entries of weights and biases whatever their number
    format; ``weight_bytes`` is all that is stored: weights in their own dtype, scales, masks, statistics. ``macs``
    (multiply-accumulates, see `modelpress.graph.multiplications`) and ``activation_bytes`` (of the values that are
    written, so none for views) are of an evaluation. What is tied counts in the first row that has it.
    """

    path: str
    type: str
    parameters: int
    weight_bytes: int
    macs: int
    activation_bytes: int
    calls: int


FIGURES = ("parameters", "weight_bytes", "macs", "activation_bytes", "calls")


def costs(model: Model, **sizes: int) -> list[LayerCost]:
    """The rows of all that costs anything, in graph order, for one sample; no value is computed.

    ``sizes`` override the symbols of the inputs' shapes: ``batch`` is 1 unless told, others as in the user's example.
    """
    values = fake_values(model, **{BATCH: 1, **sizes})
    counted: set[int] = set()
    rows = [_row(model.module, path, nodes, values, counted) for path, nodes in _calls(model.module.graph).items()]
    return [row for row in rows if row.parameters or row.weight_bytes or row.macs or row.activation_bytes]


def totals(rows: Iterable[LayerCost]) -> LayerCost:
    """The sums over ``rows``, as a row of type ``total``."""
    found = list(rows)
    return LayerCost("", "total", **{figure: sum(getattr(row, figure) for row in found) for figure in FIGURES})


def _calls(graph: fx.Graph) -> dict[str, list[fx.Node]]:
    """The nodes of each row, by its path."""
    found: dict[str, list[fx.Node]] = {}
    for node in graph.nodes:
        if node.op in ("call_module", "get_attr"):
            found.setdefault(str(node.target), []).append(node)
        elif node.op == "call_function":
            found[f"{operator_name(node)} at {node.name}"] = [node]
    return found


def _row(
    module: fx.GraphModule, path: str, nodes: Sequence[fx.Node], values: Mapping[fx.Node, Any], counted: set[int]
) -> LayerCost:
    """``counted`` has the ids of the tensors that earlier rows hold; this row's are added."""
    first = nodes[0]
    if first.op == "call_function":
        return LayerCost(path, operator_name(first), 0, 0, operator_macs(first, values), _written(first, values), 1)
    if first.op == "get_attr":
        return _bare(path, module.get_parameter(path) if _is_parameter(module, path) else module.get_buffer(path), counted)
    leaf = module.get_submodule(path)
    parameters = sum(n for tensor, n in _parameters(leaf) if id(tensor) not in counted)
    macs = sum(leaf_macs(leaf, fx.map_arg(node.args, values.__getitem__), values[node]) for node in nodes)
    written = sum(_written(node, values) for node in nodes)
    return LayerCost(path, leaf_type(leaf), parameters, _bytes(leaf, counted), macs, written, len(nodes))
