"""A `Model` as bytes, ``graph.json`` and ``tensors.safetensors``, and back, without pickle and without the user's code.

Loading is safe by construction: leaf types and operators are enumerated, arguments are checked against the
operators' schemas, names are checked and regenerated, and leaves take only tensors of the very shape that their
configuration implies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from modelpress.catalogue import Form
from modelpress.constraints.dequantize import Dequantize, attach_dequantize
from modelpress.errors import InputError, ModelFormatError
from modelpress.graph import leaves, names, operators
from modelpress.graph.arguments import DTYPES, decode, decode_output, encode, encode_output
from modelpress.graph.document import (
    FORMAT,
    VERSION,
    CallNode,
    ConstraintRecord,
    Document,
    InputNode,
    InputRecord,
    LeafNode,
    LeafRecord,
    Node,
    TensorNode,
    TensorRecord,
    parse,
    render,
)
from modelpress.graph.model import Model, TensorSpec

CONSTRAINTS: Mapping[str, type[nn.Module]] = {"Dequantize": Dequantize}


@dataclass(frozen=True)
class Serialised:
    """The two files of a model."""

    graph_json: bytes
    tensors: bytes


def save(model: Model) -> Serialised:
    """Bytes of ``model``; equal models give equal bytes.

    Raises:
        ModelFormatError: the graph holds something that the format has no word for.
    """
    module = model.module
    index = {node: i for i, node in enumerate(n for n in module.graph.nodes if n.op != "output")}
    output = next(n for n in module.graph.nodes if n.op == "output")
    records, stored = _tensors(module)
    document = Document(
        format=FORMAT,
        version=VERSION,
        form=model.form.value,
        inputs=tuple(InputRecord(name=s.name, dtype=s.dtype, shape=s.shape) for s in model.inputs),
        sizes=dict(model.sizes),
        leaves={path: _leaf_record(leaf) for path, leaf in model.leaves()},
        tensors=records,
        nodes=tuple(_node(n, index) for n in index),
        output=encode_output(output.args[0], index),
        facts=model.facts,
        notes=model.notes,
    )
    return Serialised(render(document), safetensors.torch.save(stored))


def load(graph_json: bytes, tensors: bytes) -> Model:
    """The model that ``save`` wrote, in eval mode.

    Raises:
        ModelFormatError: anything that is not a valid model, with its place.
    """
    document = parse(graph_json)
    graph = _graph(document)
    table = _read_tensors(tensors, document.tensors)
    root = nn.Module()
    for path, record in sorted(document.leaves.items()):
        _place(root, path, _leaf(path, record, table))
    _loose(root, table)
    try:
        module = fx.GraphModule(root, graph)
    except (RuntimeError, AttributeError, SyntaxError) as e:
        raise ModelFormatError(f"graph.json is no valid graph: {e}") from e
    inputs = tuple(_spec(i) for i in document.inputs)
    symbols = {n for spec in inputs for n in spec.shape if isinstance(n, str)}
    if symbols != set(document.sizes):
        raise ModelFormatError(f"sizes name {sorted(document.sizes)}; the inputs' shapes have {sorted(symbols)}")
    return Model(module.eval(), inputs, dict(document.sizes), Form(document.form), dict(document.facts), document.notes)


# --- saving


def _leaf_record(leaf: nn.Module) -> LeafRecord:
    kind, config = leaves.describe(leaf)
    stacks = leaf.parametrizations.items() if parametrize.is_parametrized(leaf) else ()  # type: ignore[operator,union-attr]
    constraints = {name: tuple(_constraint(c) for c in stack) for name, stack in stacks}
    return LeafRecord(type=kind, config=config, constraints=constraints)


def _constraint(constraint: nn.Module) -> ConstraintRecord:
    kind = type(constraint).__name__
    if CONSTRAINTS.get(kind) is not type(constraint):
        raise ModelFormatError(f"{kind} is no constraint of the format; constraints are {', '.join(CONSTRAINTS)}")
    return ConstraintRecord(type=kind, config=constraint.config())  # type: ignore[operator]


def _tensors(module: nn.Module) -> tuple[dict[str, TensorRecord], dict[str, Tensor]]:
    records: dict[str, TensorRecord] = {}
    stored: dict[str, Tensor] = {}
    first: dict[int, str] = {}
    parameters = dict(module.named_parameters(remove_duplicate=False))
    for name, tensor in sorted([*parameters.items(), *module.named_buffers(remove_duplicate=False)]):
        kind = "parameter" if name in parameters else "buffer"
        owner = first.setdefault(id(tensor), name)
        tied_to = owner if owner != name else None
        records[name] = TensorRecord(kind=kind, trainable=tensor.requires_grad, tied_to=tied_to)  # type: ignore[arg-type]
        if tied_to is None:
            stored[name] = tensor.detach().cpu().contiguous()
    return records, stored


def _node(node: fx.Node, index: Mapping[fx.Node, int]) -> Node:
    args = tuple(encode(a, index) for a in node.args)
    if node.op == "placeholder":
        return InputNode(op="input", input=str(node.target))
    if node.op == "get_attr":
        return TensorNode(op="tensor", tensor=str(node.target))
    if node.op == "call_module":
        return LeafNode(op="leaf", leaf=str(node.target), args=args)
    name = operators.names().get(node.target)  # type: ignore[arg-type]
    if name is None:
        raise ModelFormatError(f"the operator {node.target} has no place in the format")
    operators.check_call(name, node.args, node.kwargs, node.name)
    return CallNode(op="call", target=name, args=args, kwargs={k: encode(v, index) for k, v in node.kwargs.items()})


# --- loading


def _spec(record: InputRecord) -> TensorSpec:
    if record.dtype not in DTYPES:
        raise ModelFormatError(f"inputs.{record.name}: unknown dtype '{record.dtype}'; there are {', '.join(DTYPES)}")
    return TensorSpec(record.name, record.dtype, record.shape)


def _read_tensors(data: bytes, records: Mapping[str, TensorRecord]) -> dict[str, Tensor]:
    """Tensors by name, ties resolved, parameters made parameters; names must be exactly those of ``graph.json``."""
    try:
        stored = safetensors.torch.load(data)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as e:
        raise ModelFormatError(f"tensors.safetensors cannot be read: {e}") from e
    wanted = {name for name, record in records.items() if record.tied_to is None}
    if wanted != set(stored):
        odd = sorted(wanted ^ set(stored))[:5]
        raise ModelFormatError(f"tensors.safetensors and graph.json name different tensors: {', '.join(odd)}")
    made = {name: _as_recorded(name, stored[name], records[name]) for name in sorted(wanted)}
    for name, record in records.items():
        if record.tied_to is not None:
            if record.tied_to not in made or record.tied_to not in wanted:
                raise ModelFormatError(f"tensors.{name}: tied to '{record.tied_to}', which is not stored")
            made[name] = made[record.tied_to]
    return made


def _as_recorded(name: str, tensor: Tensor, record: TensorRecord) -> Tensor:
    if record.kind == "buffer":
        if record.trainable:
            raise ModelFormatError(f"tensors.{name}: a buffer is not trainable")
        return tensor
    if record.trainable and not tensor.is_floating_point():
        raise ModelFormatError(f"tensors.{name}: {tensor.dtype} cannot be trained")
    return nn.Parameter(tensor, requires_grad=record.trainable)


def _leaf(path: str, record: LeafRecord, table: dict[str, Tensor]) -> nn.Module:
    """The leaf at ``path`` with its tensors, which are taken out of ``table``."""
    if not names.is_path(path) or "parametrizations" in path.split("."):
        raise ModelFormatError(f"leaves: '{path}' is no path: letters, digits and underscores, no reserved word")
    module = leaves.construct(record.type, record.config, f"leaves.{path}")
    for name, stack in record.constraints.items():
        _constrain(module, path, name, stack, table)
    expected = {
        **dict(module.named_parameters(recurse=False)),
        **dict(module.named_buffers(recurse=False)),
    }
    for name, meta in expected.items():
        full = f"{path}.{name}"
        tensor = _take(table, full)
        _check_like(full, tensor, meta, isinstance(meta, nn.Parameter))
        own: dict[str, Any] = module._parameters if isinstance(meta, nn.Parameter) else module._buffers
        own[name] = tensor
    return module.eval()


def _constrain(
    module: nn.Module, path: str, name: str, stack: tuple[ConstraintRecord, ...], table: dict[str, Tensor]
) -> None:
    where = f"leaves.{path}.constraints.{name}"
    if [c.type for c in stack] != ["Dequantize"]:
        raise ModelFormatError(f"{where}: {[c.type for c in stack]} is no stack of the format; it knows Dequantize")
    prefix = f"{path}.parametrizations.{name}"
    stored, scale = _take(table, f"{prefix}.original"), _take(table, f"{prefix}.0.scale")
    meta = module._parameters.get(name)
    if meta is None or meta.shape != stored.shape or stack[0].config != {"channels": scale.numel()}:
        raise ModelFormatError(f"{where}: does not fit the leaf's '{name}'")
    try:
        attach_dequantize(module, name, stored, scale)
    except InputError as e:
        raise ModelFormatError(f"{where}: {e}") from e


def _take(table: dict[str, Tensor], name: str) -> Tensor:
    if name not in table:
        raise ModelFormatError(f"tensor '{name}' is missing")
    return table.pop(name)


def _check_like(name: str, tensor: Tensor, meta: Tensor, is_parameter: bool) -> None:
    if tensor.shape != meta.shape:
        raise ModelFormatError(f"tensor '{name}' has shape {list(tensor.shape)}; its leaf needs {list(meta.shape)}")
    like = tensor.dtype == meta.dtype or (tensor.is_floating_point() and meta.is_floating_point())
    if not like or tensor.dtype not in DTYPES.values() or isinstance(tensor, nn.Parameter) != is_parameter:
        raise ModelFormatError(f"tensor '{name}' is a {tensor.dtype}; its leaf needs the like of {meta.dtype}")


def _place(root: nn.Module, path: str, module: nn.Module) -> None:
    parent_path, _, name = path.rpartition(".")
    parent = _ensure(root, parent_path)
    if hasattr(parent, name):
        raise ModelFormatError(f"leaves: '{path}' stands where something is already")
    parent.add_module(name, module)


def _ensure(root: nn.Module, path: str) -> nn.Module:
    for part in filter(None, path.split(".")):
        if part not in root._modules:
            if hasattr(root, part):
                raise ModelFormatError(f"'{path}' passes through '{part}', which is no module")
            root.add_module(part, nn.Module())
        root = root.get_submodule(part)
    return root


def _loose(root: nn.Module, table: Mapping[str, Tensor]) -> None:
    """Register what belongs to no leaf."""
    for name, tensor in table.items():
        if not names.is_path(name):
            raise ModelFormatError(f"tensors: '{name}' is no path: letters, digits and underscores, no reserved word")
        owner_path, _, leaf = name.rpartition(".")
        owner = _ensure(root, owner_path)
        if hasattr(owner, leaf):
            raise ModelFormatError(f"tensors: '{name}' stands where a module is")
        if isinstance(tensor, nn.Parameter):
            owner.register_parameter(leaf, tensor)
        else:
            owner.register_buffer(leaf, tensor)


def _graph(document: Document) -> fx.Graph:
    graph = fx.Graph()
    nodes: list[fx.Node] = []
    inputs = [i.name for i in document.inputs]
    for i, node in enumerate(document.nodes):
        nodes.append(_build(graph, node, nodes, document, f"nodes[{i}]"))
    called = {str(n.target) for n in nodes if n.op == "call_module"}
    if called != set(document.leaves):
        raise ModelFormatError(f"leaves that no node calls: {', '.join(sorted(set(document.leaves) - called)[:5])}")
    seen = [str(n.target) for n in nodes if n.op == "placeholder"]
    if seen != inputs:
        raise ModelFormatError(f"inputs are {inputs}, but the nodes read {seen}; they must be the same, in order")
    graph.output(decode_output(document.output, nodes))
    return graph


def _build(graph: fx.Graph, node: Node, nodes: list[fx.Node], document: Document, where: str) -> fx.Node:
    if isinstance(node, InputNode):
        if not names.is_input_name(node.input):
            raise ModelFormatError(f"{where}: '{node.input}' is no input name: a Python identifier, no reserved word")
        if nodes and nodes[-1].op != "placeholder":
            raise ModelFormatError(f"{where}: inputs come before all other nodes")
        return graph.placeholder(node.input)
    if isinstance(node, TensorNode):
        if node.tensor not in document.tensors or not names.is_path(node.tensor):
            raise ModelFormatError(f"{where}: there is no tensor '{node.tensor}'")
        return graph.get_attr(node.tensor)
    args = tuple(decode(a, nodes, where) for a in node.args)
    if isinstance(node, LeafNode):
        if node.leaf not in document.leaves:
            raise ModelFormatError(f"{where}: there is no leaf '{node.leaf}'")
        leaves.check_arguments(document.leaves[node.leaf].type, args, where)
        return graph.call_module(node.leaf, args)
    if node.target not in operators.targets():
        raise ModelFormatError(f"{where}: unknown operator '{node.target}'")
    kwargs: dict[str, Any] = {k: decode(v, nodes, where) for k, v in node.kwargs.items()}
    operators.check_call(node.target, args, kwargs, where)
    return graph.call_function(operators.targets()[node.target], args, kwargs)
