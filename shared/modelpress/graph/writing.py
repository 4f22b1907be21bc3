"""A `Model` as bytes: equal models give equal bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError
from torch import Tensor, fx, nn

from modelpress.errors import ModelFormatError
from modelpress.graph import constrained, leaves, operators, tensor_file
from modelpress.graph.arguments import encode, encode_output
from modelpress.graph.document import (
    FORMAT,
    VERSION,
    CallNode,
    Document,
    InputNode,
    InputRecord,
    LeafNode,
    LeafRecord,
    Node,
    TensorNode,
    TensorRecord,
    first_fault,
    render,
)
from modelpress.graph.forms import check_form
from modelpress.graph.model import Model


@dataclass(frozen=True)
class Serialised:
    """The two files of a model."""

    graph_json: bytes
    tensors: bytes


def save(model: Model) -> Serialised:
    """Bytes of ``model``; equal models give equal bytes.

    Raises:
        ModelFormatError: the graph holds something that the format has no word for (a layer or an input of no
            elements), or the form tells a lie about pending constraints.
    """
    check_form(model)
    records, stored = _tensors(model.module)
    try:
        document = _document(model, records)
    except ValidationError as e:
        raise ModelFormatError(f"the model is not of the format: {first_fault(e)}") from e
    return Serialised(render(document), tensor_file.write(stored))


def _document(model: Model, records: Mapping[str, TensorRecord]) -> Document:
    nodes = model.module.graph.nodes
    index = {node: i for i, node in enumerate(n for n in nodes if n.op != "output")}
    output = next(n for n in nodes if n.op == "output")
    return Document(
        format=FORMAT,
        version=VERSION,
        form=model.form.value,
        inputs=tuple(InputRecord(name=s.name, dtype=s.dtype, shape=s.shape) for s in model.inputs),
        sizes=dict(model.sizes),
        leaves={path: _leaf_record(path, leaf) for path, leaf in model.leaves()},
        tensors=dict(records),
        nodes=tuple(_node(n, index) for n in index),
        output=encode_output(output.args[0], index),
        facts=model.facts,
        notes=model.notes,
    )


def _leaf_record(path: str, leaf: nn.Module) -> LeafRecord:
    kind, config = leaves.describe(leaf, path)
    return LeafRecord(type=kind, config=config, constraints=constrained.records_of(leaf))


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
