"""Bytes as a `Model`, whoever wrote them.

Safe by construction: leaf types and operators are enumerated, arguments are checked against the operators' schemas,
names are checked and regenerated, leaves take only tensors of the very shape that their configuration implies, and
what flows through the graph is computed without memory and bounded (bounds.py) before the model exists.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, fx, nn

from modelpress.catalogue import Form
from modelpress.errors import ModelFormatError
from modelpress.graph import constrained, leaves, names, operators, tensor_file
from modelpress.graph.arguments import DTYPES, decode, decode_output
from modelpress.graph.bounds import check_shapes
from modelpress.graph.document import (
    Document,
    InputNode,
    InputRecord,
    LeafNode,
    LeafRecord,
    Node,
    TensorNode,
    parse,
)
from modelpress.graph.forms import check_form
from modelpress.graph.lift.canonical import canonical
from modelpress.graph.model import Model, TensorSpec

MAX_MODULES = 20_000
"""Those that only hold others included: each takes 7 KB and 0.1 ms."""


def load(graph_json: bytes, tensors: bytes) -> Model:
    """The model that ``save`` wrote, in eval mode.

    Raises:
        ModelFormatError: anything that is not a valid model, with its place.
    """
    document = parse(graph_json)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch remarks about a file's choices is no news to who reads it
        return _model(document, tensors)


def _model(document: Document, tensors: bytes) -> Model:
    _check_modules([*document.leaves, *document.tensors])
    graph = _graph(document)
    table = tensor_file.read(tensors, document.tensors)
    root = nn.Module()
    for path, record in sorted(document.leaves.items()):
        _place(root, path, _leaf(path, record, table))
    _loose(root, table)
    inputs = _inputs(document)
    check_shapes(root, graph, inputs, document.sizes)
    try:
        module = fx.GraphModule(root, graph)
    except (RuntimeError, AttributeError, SyntaxError) as e:
        raise ModelFormatError(f"graph.json is no valid graph: {e}") from e
    facts, form = dict(document.facts), Form(document.form)
    model = Model(module.eval(), inputs, dict(document.sizes), form, facts, document.notes)
    check_form(model)
    return model


def _check_modules(paths: Iterable[str]) -> None:
    """Few and long paths make as many modules as short ones and many."""
    modules: set[str] = set()
    for path in paths:
        steps = path.split(".")[: names.MAX_DEPTH]
        modules.update(".".join(steps[:i]) for i in range(1, len(steps)))
        if len(modules) > MAX_MODULES:
            raise ModelFormatError(f"the paths of leaves and tensors make more than {MAX_MODULES} modules")


def _inputs(document: Document) -> tuple[TensorSpec, ...]:
    inputs = tuple(_spec(i) for i in document.inputs)
    if len({spec.name for spec in inputs}) != len(inputs):
        raise ModelFormatError(f"inputs: a name stands twice among {[spec.name for spec in inputs][:20]}")
    symbols = {n for spec in inputs for n in spec.shape if isinstance(n, str)}
    if symbols != set(document.sizes):
        raise ModelFormatError(f"sizes name {sorted(document.sizes)}; the inputs' shapes have {sorted(symbols)}")
    return inputs


def _spec(record: InputRecord) -> TensorSpec:
    if record.dtype not in DTYPES:
        raise ModelFormatError(f"inputs.{record.name}: unknown dtype '{record.dtype}'; there are {', '.join(DTYPES)}")
    return TensorSpec(record.name, record.dtype, record.shape)


def _leaf(path: str, record: LeafRecord, table: dict[str, Tensor]) -> nn.Module:
    """The leaf at ``path`` with its tensors, which are taken out of ``table``."""
    if not names.is_path(path) or "parametrizations" in path.split("."):
        raise ModelFormatError(f"leaves: '{path}' is no path: letters, digits and underscores, no reserved word")
    module = leaves.construct(record.type, record.config, f"leaves.{path}")
    for name, stack in record.constraints.items():
        constrained.constrain(module, path, name, stack, table)
    expected = {
        **dict(module.named_parameters(recurse=False)),
        **dict(module.named_buffers(recurse=False)),
    }
    for name, meta in expected.items():
        full = f"{path}.{name}"
        tensor = constrained.take(table, full)
        _check_like(full, tensor, meta, isinstance(meta, nn.Parameter))
        own: dict[str, Any] = module._parameters if isinstance(meta, nn.Parameter) else module._buffers
        own[name] = tensor
    leaves.check_tensors(module, f"leaves.{path}")
    return module.eval()


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
        if "parametrizations" in name.split("."):
            raise ModelFormatError(f"tensors: '{name}' belongs to no constraint of its leaf")
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


def _holds(document: Document, tensor: str) -> bool:
    """Whether there is such a tensor, stored or computed by a leaf's constraints from what is stored."""
    owner, _, name = tensor.rpartition(".")
    return tensor in document.tensors or (owner in document.leaves and name in document.leaves[owner].constraints)


def _build(graph: fx.Graph, node: Node, nodes: list[fx.Node], document: Document, where: str) -> fx.Node:
    if isinstance(node, InputNode):
        if not names.is_input_name(node.input):
            raise ModelFormatError(f"{where}: '{node.input}' is no input name: a Python identifier, no reserved word")
        if nodes and nodes[-1].op != "placeholder":
            raise ModelFormatError(f"{where}: inputs come before all other nodes")
        return names.placeholder(graph, node.input)
    if isinstance(node, TensorNode):
        if not _holds(document, node.tensor) or not names.is_path(node.tensor):
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
    target = canonical(operators.targets()[node.target])
    return graph.call_function(target, *operators.positioned(node.target, args, kwargs))
