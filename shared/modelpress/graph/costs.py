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

from modelpress.graph import operators
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
    ``shape`` and ``bits`` are those of the weight as stored; a layer of several weights (recurrent ones) has the number
    of their entries for a shape, one of none has () and 0.
    """

    path: str
    type: str
    parameters: int
    weight_bytes: int
    macs: int
    activation_bytes: int
    calls: int
    shape: tuple[int, ...] = ()
    bits: int = 0


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
        if node.op in ("call_module", "get_attr", "call_function"):
            found.setdefault(row_path(node), []).append(node)
    return found


def row_path(node: fx.Node) -> str:
    """`LayerCost.path` of the row that a node counts in."""
    return f"{_operator_name(node)} at {node.name}" if node.op == "call_function" else str(node.target)


def _row(
    module: fx.GraphModule, path: str, nodes: Sequence[fx.Node], values: Mapping[fx.Node, Any], counted: set[int]
) -> LayerCost:
    """``counted`` has the ids of the tensors that earlier rows hold; this row's are added."""
    held = _held(module, nodes[0])
    new = {name: tensor for name, tensor in held.items() if id(tensor) not in counted}
    counted.update(map(id, new.values()))
    shape, bits = _weight_format(held)
    return LayerCost(
        path=path,
        type=_type(module, nodes[0]),
        parameters=sum(tensor.numel() for name, tensor in new.items() if _is_weight(name, tensor)),
        weight_bytes=sum(tensor.nbytes for tensor in new.values()),
        macs=sum(_macs(module, node, values) for node in nodes),
        activation_bytes=sum(_written_bytes(node, values) for node in nodes),
        calls=len(nodes),
        shape=shape,
        bits=bits,
    )


def _type(module: fx.GraphModule, node: fx.Node) -> str:
    if node.op == "call_module":
        return leaf_type(module.get_submodule(str(node.target)))
    if node.op == "call_function":
        return _operator_name(node)
    return "Parameter" if any(_is_weight(*entry) for entry in _held(module, node).items()) else "Buffer"


def _operator_name(node: fx.Node) -> str:
    """``matmul`` of ``aten.matmul.default``; the format's own name of what is no aten operator."""
    return operators.names()[node.target].removeprefix("aten.").partition(".")[0]  # type: ignore[index]


def _held(module: fx.GraphModule, node: fx.Node) -> dict[str, Tensor]:
    """The tensors that a node reads from the module tree, as they are stored, by name; each once."""
    if node.op == "call_function":
        return {}
    owner_path, _, name = str(node.target).rpartition(".")
    if node.op == "call_module":
        owner = module.get_submodule(str(node.target))
    else:
        owner = module.get_submodule(owner_path)
        if not parametrize.is_parametrized(owner, name):
            return {name: getattr(owner, name)}
        owner = owner.parametrizations[name]  # type: ignore[index, assignment]
    return dict(chain(owner.named_parameters(), owner.named_buffers()))


def _is_weight(name: str, tensor: Tensor) -> bool:
    """Whether it is a parameter, or what a constraint keeps in place of one (integers are buffers)."""
    return isinstance(tensor, nn.Parameter) or name.rpartition(".")[2].startswith("original")


def _weight_format(held: Mapping[str, Tensor]) -> tuple[tuple[int, ...], int]:
    """`LayerCost.shape` and `LayerCost.bits` of what holds these tensors."""
    weights = {name: tensor for name, tensor in held.items() if _is_weight(name, tensor)}
    if not weights:
        return (), 0
    only = next(iter(weights.values()))
    main = weights.get("weight", weights.get("parametrizations.weight.original", only if len(weights) == 1 else None))
    if main is None:
        return (sum(tensor.numel() for tensor in weights.values()),), only.element_size() * 8
    return tuple(main.shape), main.element_size() * 8


def _macs(module: fx.GraphModule, node: fx.Node, values: Mapping[fx.Node, Any]) -> int:
    if node.op == "call_module":
        inputs = fx.map_arg(node.args, values.__getitem__)
        return leaf_macs(module.get_submodule(str(node.target)), inputs, values[node])
    return operator_macs(node, values) if node.op == "call_function" else 0


def _written_bytes(node: fx.Node, values: Mapping[fx.Node, Any]) -> int:
    """Of a call's outputs that do not share the memory of an input."""
    if node.op == "get_attr":
        return 0
    given = {_storage(tensor) for source in node.all_input_nodes for tensor in _flat(values[source])}
    return sum(tensor.nbytes for tensor in _flat(values[node]) if _storage(tensor) not in given)


def _flat(value: Any) -> Iterator[Tensor]:
    return (leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor))


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
