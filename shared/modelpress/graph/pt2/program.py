"""The graph of a ``torch.export.save`` archive as the ``fx`` graph that ``torch.export`` made."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from modelpress.errors import ModelFormatError
from modelpress.graph import names, operators
from modelpress.graph.document import COUNTS, MAX_NODES
from modelpress.graph.lift.leaves import DROPOUTS
from modelpress.graph.lift.source import bound
from modelpress.graph.pt2.archive import Record, TensorMeta, validated
from modelpress.graph.pt2.source import Source, cleaned
from modelpress.graph.pt2.words import (
    CONSTANTS,
    REGIONS,
    constant,
    listed,
    role_of,
    size_of,
    targets,
    tensor_value,
    text_of,
    union,
)

MAX_INPUTS = COUNTS["inputs"]
MAX_REGIONS = 1000
MAX_TRACE = 4000
"""Characters of a node's stack trace that are kept: the innermost lines name the user's code."""


class NamedArgument(Record):
    name: str
    arg: dict[str, Any]
    kind: int | None = None


class NodeRecord(Record):
    target: str
    inputs: list[NamedArgument]
    outputs: list[dict[str, Any]]
    metadata: dict[str, str]


class GraphRecord(Record):
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    nodes: list[NodeRecord]
    tensor_values: dict[str, TensorMeta]
    sym_int_values: dict[str, dict[str, Any]]


class SignatureRecord(Record):
    input_specs: list[dict[str, Any]]
    output_specs: list[dict[str, Any]]


@dataclass
class GraphReader:
    """One reading of a graph: the values named so far, and the source that it goes to."""

    record: GraphRecord
    source: Source
    values: dict[str, fx.Node] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    regions: list[fx.GraphModule] = field(default_factory=list)
    """All of the program, those within others too."""

    @property
    def graph(self) -> fx.Graph:
        return self.source.graph

    def program(self, signature: SignatureRecord, tensors: Mapping[str, Tensor]) -> None:
        """Read a whole program; its output node holds the flat outputs.

        Raises:
            ModelFormatError: names the node, its operator and the user's line.
        """
        self._inputs(signature, tensors)
        self._body()
        _check_outputs(signature)

    def region(self) -> fx.GraphModule:
        """Read a graph within a graph, whose inputs are its own.

        Raises:
            ModelFormatError: as `program`.
        """
        for i, argument in enumerate(self.record.inputs):
            kind, _ = union(argument, f"inputs[{i}]")
            name = text_of(argument, kind, f"inputs[{i}]")
            self._define(name, self.graph.placeholder(f"input_{i}"), f"inputs[{i}]")
        self._body()
        return fx.GraphModule(self.source, self.graph)

    def _body(self) -> None:
        if len(self.record.nodes) > MAX_NODES:
            raise ModelFormatError(f"the graph has {len(self.record.nodes)} nodes; the limit is {MAX_NODES}")
        for i, node in enumerate(self.record.nodes):
            self._node(node, f"nodes[{i}]")
        self.graph.output(tuple(self._argument(a, f"outputs[{i}]") for i, a in enumerate(self.record.outputs)))
        for node in reversed(self.graph.nodes):
            if node.target is operator.getitem and not node.users:
                self.graph.erase_node(node)

    # --- inputs

    def _inputs(self, signature: SignatureRecord, tensors: Mapping[str, Tensor]) -> None:
        if len(self.record.inputs) != len(signature.input_specs):
            raise ModelFormatError("the graph and its signature have different numbers of inputs")
        taken: set[str] = set()
        for i, (argument, spec) in enumerate(zip(self.record.inputs, signature.input_specs, strict=True)):
            where = f"inputs[{i}]"
            role, about = role_of(spec, where)
            if role == "user_input":
                self._user_input(argument, taken, where)
            elif role in _STORED:
                path = about.get(_STORED[role])
                if not isinstance(path, str) or path not in tensors:
                    raise ModelFormatError(f"{where}: the archive has no tensor {str(path)[:120]!r}")
                self._define(text_of(argument, "as_tensor", where), self.graph.get_attr(cleaned(path)), where)
            elif role != "constant_input":
                raise ModelFormatError(f"{where}: an input that is a {role} has no place in the format")

    def _user_input(self, argument: Any, taken: set[str], where: str) -> None:
        kind, body = union(argument, where)
        if kind in ("as_none", "as_bool", "as_int", "as_float", "as_string"):
            self.notes.append(f"the argument {str(body)[:80]!r} of the exported call is fixed in the graph")
            return
        if kind != "as_tensor":
            raise ModelFormatError(f"{where}: an input {kind} has no place in the format; inputs are tensors")
        name = text_of(argument, kind, where)
        free = name if names.is_input_name(name) else f"input_{len(taken)}"
        while free in taken:
            free += "_"
        taken.add(free)
        if len(taken) > MAX_INPUTS:
            raise ModelFormatError(f"the graph has more than {MAX_INPUTS} inputs")
        self._define(name, names.placeholder(self.graph, free), where)

    def _define(self, name: str, node: fx.Node, where: str) -> None:
        if name in self.values:
            raise ModelFormatError(f"{where}: the value {name[:120]!r} is defined twice")
        self.values[name] = node
        if name in self.record.tensor_values:
            node.meta["val"] = tensor_value(self.record.tensor_values[name], f"tensor_values.{name[:120]}")
        elif name in self.record.sym_int_values:
            size = size_of(self.record.sym_int_values[name], f"sym_int_values.{name[:120]}")
            node.meta["val"] = size if isinstance(size, int) else size.hint or 0
        else:
            node.meta["val"] = True  # a comparison of sizes: lifting asks only whether a value is a tensor

    # --- calls

    def _node(self, record: NodeRecord, where: str) -> None:
        metadata = _metadata(record.metadata)
        is_region = record.target in REGIONS
        if not is_region and record.target not in targets():
            raise ModelFormatError(
                f"{where}: the operator {record.target[:120]!r} is not in the format yet{_user_line(metadata)}"
            )
        node = self._region(record, where) if is_region else self._call(record, where)
        node.meta.update(metadata)
        self._results(record.outputs, node, where, whole=not is_region)

    def _call(self, record: NodeRecord, where: str) -> fx.Node:
        target = targets()[record.target]
        args, kwargs = self._arguments(record, target, where)
        check_call(target, args, kwargs, where)
        node = self.graph.call_function(target, args, kwargs)
        _check_mode(node, where)
        return node

    def _region(self, record: NodeRecord, where: str) -> fx.Node:
        """A call of a graph under no-grad or autocast: settings, the graph, and what it is called with."""
        target, kinds = REGIONS[record.target]
        arguments = [a.arg for a in record.inputs]
        settings = [self._argument(a, where) for a in arguments[: len(kinds)]]
        if len(arguments) <= len(kinds) or not all(map(isinstance, settings, kinds)):
            raise ModelFormatError(f"{where}: {record.target} does not take {settings!r}")
        body = arguments[len(kinds)].get("as_graph")
        inner = validated(GraphRecord, body.get("graph") if isinstance(body, dict) else None, where)
        if len(self.regions) >= MAX_REGIONS:
            raise ModelFormatError(f"the program has more than {MAX_REGIONS} graphs within its graph")
        region = GraphReader(inner, Source({}), regions=self.regions).region()
        self.regions.append(region)
        given = [self._argument(a, where) for a in arguments[len(kinds) + 1 :]]
        if len(given) != len(inner.inputs) or not all(isinstance(a, fx.Node) for a in given):
            raise ModelFormatError(f"{where}: its graph takes {len(inner.inputs)} values, not {given!r}")
        return self.graph.call_function(
            target, (*settings, self.graph.get_attr(self.source.add_region(region)), *given)
        )

    def _arguments(self, record: NodeRecord, target: Any, where: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments in the order of the operator's schema; what is called by keyword stays so."""
        given = {a.name: a for a in record.inputs}
        order = [a.name for a in target._schema.arguments] if hasattr(target, "_schema") else list(given)
        if len(given) != len(record.inputs) or not given.keys() <= set(order):
            raise ModelFormatError(f"{where}: {target} takes the arguments {order}, not {[*given][:16]}")
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for i, name in enumerate(n for n in order if n in given):
            value = self._argument(given[name].arg, f"{where}.{name}")
            if given[name].kind == _KEYWORD or order[i] != name:
                kwargs[name] = value
            else:
                args.append(value)
        return tuple(args), kwargs

    def _results(self, outputs: list[dict[str, Any]], node: fx.Node, where: str, *, whole: bool) -> None:
        """Name what ``node`` gives: its ``whole`` value where there is one only, or the parts of a list or tuple."""
        kinds = [union(output, where)[0] for output in outputs]
        if whole and len(kinds) == 1 and kinds[0] in _VALUES:
            self._define(text_of(outputs[0], kinds[0], where), node, where)
            return
        several = listed(outputs[0], "as_tensors", where) if kinds == ["as_tensors"] else None
        parts = outputs if several is None else [{"as_tensor": t} for t in several]
        made = []
        for i, part in enumerate(parts):
            kind, _ = union(part, where)
            if kind != "as_none":
                made.append(self.graph.call_function(operator.getitem, (node, i)))
                self._define(text_of(part, kind, where), made[-1], where)
        node.meta["val"] = [item.meta.get("val") for item in made]

    # --- arguments

    def _argument(self, argument: Any, where: str) -> Any:
        kind, body = union(argument, where)
        if kind in _VALUES:
            return self._value(argument, kind, where)
        if kind == "as_optional_tensor":
            return self._argument(body, where)
        if kind in _LISTS:
            return [self._element(_LISTS[kind], item, where) for item in listed(argument, kind, where)]
        if kind not in CONSTANTS:
            raise ModelFormatError(f"{where}: an argument {kind} has no place in the format")
        return constant(kind, body, where)

    def _element(self, kind: str, item: Any, where: str) -> Any:
        return self._argument(item if kind == "as_optional_tensor" else {kind: item}, where)

    def _value(self, argument: Any, kind: str, where: str) -> Any:
        """A value that was named before, or the number that stands in its place."""
        body = argument[kind]
        if kind != "as_tensor" and isinstance(body, dict) and "as_name" not in body:
            return self._argument(body, where)
        name = text_of(argument, kind, where)
        if name not in self.values:
            raise ModelFormatError(f"{where}: the value {name[:120]!r} is not defined before it is used")
        return self.values[name]


_STORED = {"parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name"}
_KEYWORD = 2
_VALUES = ("as_tensor", "as_sym_int", "as_sym_float", "as_sym_bool")
_LISTS = {
    "as_tensors": "as_tensor", "as_ints": "as_int", "as_floats": "as_float", "as_strings": "as_string",
    "as_bools": "as_bool", "as_sym_ints": "as_sym_int", "as_sym_floats": "as_sym_float",
    "as_optional_tensors": "as_optional_tensor",
}  # fmt: skip


def _metadata(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The user's line and the modules that a node was traced in, as ``torch.export`` keeps them."""
    trace = metadata.get("stack_trace", "")[-MAX_TRACE:].encode("utf-8", "replace").decode()
    stack = {}
    for entry in filter(None, metadata.get("nn_module_stack", "").split(";")):
        key, _, rest = entry.partition(",")
        path, _, kind = rest.partition(",")
        stack[key] = (path, kind)
    return {"stack_trace": trace, "nn_module_stack": stack}


def check_call(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any], where: str) -> None:
    """Check a call against its operator's schema.

    Raises:
        ModelFormatError: arguments of other types, too many or too few.
    """
    if hasattr(target, "_schema"):
        operators.check_schema(str(target), target._schema, args, kwargs, where)
    elif target in operators.names():
        operators.check_call(operators.names()[target], args, kwargs, where)
    elif kwargs or len(args) != 2:
        raise ModelFormatError(f"{where}: {target.__name__} compares two sizes, not {args!r}")


def _check_mode(node: fx.Node, where: str) -> None:
    """Refuse what only an export in training mode holds; lifted, it would mean another thing in evaluation."""
    if node.target is torch.ops.aten.batch_norm.default:
        training = bound(node)["training"] and bound(node)["running_mean"] is not None
    else:
        training = node.target in DROPOUTS and bound(node)["train"]
    if training:
        raise ModelFormatError(f"{where}: {node.target} of training mode; call .eval() before torch.export.export")


def _check_outputs(signature: SignatureRecord) -> None:
    for i, spec in enumerate(signature.output_specs):
        role, about = role_of(spec, f"outputs[{i}]")
        if role != "user_output":
            what = about.get("buffer_name") or about.get("parameter_name") or about.get("user_input_name")
            raise ModelFormatError(
                f"the exported program changes {str(what)[:120]!r} ({role}); call .eval() before the export"
            )


def _user_line(metadata: Mapping[str, Any]) -> str:
    lines = [line.strip() for line in metadata["stack_trace"].splitlines() if line.strip()]
    return f", called at {lines[-2].removeprefix('File ')}: {lines[-1]}" if len(lines) > 1 else ""
