"""The index spaces that multiply-accumulates of a node run over, for what runs along an axis."""

from __future__ import annotations

from collections.abc import Mapping

from torch import fx, nn

from modelpress.graph.axes.call import Value, argument
from modelpress.graph.axes.einsum import EINSUM, terms_of
from modelpress.graph.axes.expr import Dims, Expr
from modelpress.graph.axes.functional import CONVOLUTIONS, TRANSPOSED
from modelpress.graph.behaviour import Attention

Values = Mapping[fx.Node, Value]


def products(node: fx.Node, leaf: nn.Module | None, values: Values, parameters: Mapping[str, Dims]) -> list[Dims]:
    """Dimensions of each product of a node, all together its multiply-accumulates; none where it has none.

    Space that a convolution slides over is left out: nothing can be removed from it.
    """
    if isinstance(leaf, Attention):
        return _attention(node, values)
    if isinstance(leaf, nn.RNNBase):
        return [parameters[f"{node.target}.{name}"] for name, _ in leaf.named_parameters() if name.startswith("weight")]
    if leaf is not None:
        return _layer(_dims(node.all_input_nodes[0], values), parameters.get(f"{node.target}.weight"), leaf)
    if node.target in EINSUM:
        return [_labels(node, values)]
    if node.target in (*CONVOLUTIONS, *TRANSPOSED):
        weight = _dims(argument(node, "weight"), values)
        return [[*_dims(node.all_input_nodes[0], values)[: 1 - len(weight)], *weight]]
    return []


def _dims(node: fx.Node, values: Values) -> Dims:
    value = values[node]
    return value if isinstance(value, list) else []


def _layer(x: Dims, weight: Dims | None, leaf: nn.Module) -> list[Dims]:
    """Linear layers and convolutions: what of the input is not channels or space, and the whole weight."""
    if weight is None or not isinstance(leaf, nn.Linear | nn.modules.conv._ConvNd):
        return []
    return [[*x[: 1 - len(weight)], *weight]]


def _attention(node: fx.Node, values: Values) -> list[Dims]:
    query, key, value = (_dims(source, values) for source in node.all_input_nodes[:3])
    scores = [*_dims(node, values)[:-1], key[-2]]
    return [[*scores, query[-1]], [*scores, value[-1]]]


def _labels(node: fx.Node, values: Values) -> Dims:
    """One dimension a label, of full size."""
    terms = terms_of(node, values)
    found: dict[str, Expr] = {}
    for labels, operand in zip(terms.equation.operands, terms.operands, strict=True):
        for label, dim in zip(labels, _dims(operand, values), strict=True):
            if label not in found or dim.size > found[label].size:
                found[label] = dim
    return list(found.values())
