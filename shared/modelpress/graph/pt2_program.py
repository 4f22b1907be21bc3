"""The graph of a ``torch.export.save`` archive as the ``fx`` graph that ``torch.export`` made.

What a file calls is looked up in a table from names to enumerated operators, never followed along its dots. Symbolic
expressions in the metadata are text here: a dimension is known to be dynamic, how it is computed is not evaluated.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor, fx, nn

from modelpress.errors import ModelFormatError
from modelpress.graph import names, operators
from modelpress.graph.arguments import MAX_INT
from modelpress.graph.canonical import functional_form
from modelpress.graph.document import MAX_NODES
from modelpress.graph.lift import DROPOUTS, LEAVES
from modelpress.graph.pt2_archive import DTYPES, STRIDED, Record, TensorMeta, natural

MAX_TRACE = 4000
"""Characters of a node's stack trace that are kept: the innermost lines name the user's code."""


REWRITTEN = (
    "__and__.Scalar", "__and__.Tensor", "__or__.Scalar", "__or__.Tensor", "__xor__.Scalar", "__xor__.Tensor",
    "_assert_scalar.default", "_assert_tensor_metadata.default", "_to_copy.default", "arange.default", "arange.start",
    "arange.start_step", "empty.memory_format", "eye.default", "eye.m", "full.default", "gru.input",
    "gru_cell.default", "lift_fresh_copy.default", "linspace.default", "lstm.input", "lstm_cell.default",
    "ones.default", "rnn_relu.input", "rnn_relu_cell.default", "rnn_tanh.input", "rnn_tanh_cell.default",
    "scalar_tensor.default", "scaled_dot_product_attention.default", "sym_constrain_range.default",
    "sym_constrain_range_for_size.default", "to.device", "to.dtype_layout", "to.other", "zeros.default",
)  # fmt: skip
"""Operators that are none of the format's; lifting says them in its words or leaves them out."""


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


@dataclass(frozen=True)
class Dynamic:
    """A dimension whose size the archive knows as an expression only; ``hint`` is what it was in the example."""

    expression: str
    hint: int | None

    @property
    def symbol(self) -> str | None:
        """The symbol's name where the expression is one, else None: then it is computed from others."""
        match = _SYMBOL.fullmatch(self.expression)
        return match.group(1) if match else None


@dataclass(frozen=True)
class TensorValue:
    """What the archive says of a value, as far as lifting reads it."""

    shape: tuple[int | Dynamic, ...]
    dtype: torch.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)


@dataclass
class Source(nn.Module):
    """The exported module as `Lifter` reads it: tensors by path, and the graph. Never called; no code is made of it."""

    graph: fx.Graph

    def __init__(self, graph: fx.Graph) -> None:
        super().__init__()
        self.graph = graph


@cache
def targets() -> Mapping[str, Any]:
    """Name in an archive -> operator: the format's and what lifting rewrites, in-place forms included."""
    table: dict[str, Any] = dict(_PLAIN)
    for target in {*operators.names(), *LEAVES, *DROPOUTS, *_rewritten()}:
        if isinstance(target, torch._ops.OpOverload):
            for form in (target, _in_place_form(target)):
                table[f"torch.ops.{form}"] = form
    return table


def _rewritten() -> list[torch._ops.OpOverload]:
    """What lifting knows and says in other words."""
    split = (name.split(".") for name in REWRITTEN)
    return [getattr(getattr(torch.ops.aten, packet), overload) for packet, overload in split]


def _in_place_form(target: torch._ops.OpOverload) -> torch._ops.OpOverload:
    """``aten.relu_.default`` of ``aten.relu.default`` where there is one, else the operator itself."""
    packet = getattr(torch.ops.aten, f"{target.overloadpacket.__name__}_", None)
    form = getattr(packet, target._overloadname, target)
    return form if functional_form(form) is target else target


_PLAIN: Mapping[str, Callable[..., Any]] = {
    "_operator.add": operator.add,
    "_operator.sub": operator.sub,
    "_operator.mul": operator.mul,
    "_operator.floordiv": operator.floordiv,
    "_operator.mod": operator.mod,
    "_operator.neg": operator.neg,
    "_operator.eq": operator.eq,
    "_operator.ne": operator.ne,
    "_operator.le": operator.le,
    "_operator.lt": operator.lt,
    "_operator.ge": operator.ge,
    "_operator.gt": operator.gt,
    "torch.sym_max": torch.sym_max,
    "torch.sym_min": torch.sym_min,
}


@dataclass
class GraphReader:
    """One reading of a graph: the values named so far, and the graph that grows."""

    record: GraphRecord
    signature: SignatureRecord
    tensors: Mapping[str, Tensor]
    graph: fx.Graph = field(default_factory=fx.Graph)
    values: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def run(self) -> Source:
        """The graph with its tensors under cleaned paths; its output node holds the flat outputs.

        Raises:
            ModelFormatError: names the node, its operator and the user's line.
        """
        if len(self.record.nodes) > MAX_NODES:
            raise ModelFormatError(f"the graph has {len(self.record.nodes)} nodes; the limit is {MAX_NODES}")
        self._inputs()
        for i, node in enumerate(self.record.nodes):
            self._node(node, f"nodes[{i}]")
        self.graph.output(tuple(self._outputs()))
        for node in reversed(self.graph.nodes):
            if node.target is operator.getitem and not node.users:
                self.graph.erase_node(node)
        return _with_tensors(Source(self.graph), self.tensors)

    # --- inputs and outputs

    def _inputs(self) -> None:
        if len(self.record.inputs) != len(self.signature.input_specs):
            raise ModelFormatError("the graph and its signature have different numbers of inputs")
        for i, (argument, spec) in enumerate(zip(self.record.inputs, self.signature.input_specs, strict=True)):
            where = f"inputs[{i}]"
            role, about = _role(spec, where)
            if role == "user_input":
                self._user_input(argument, where)
            elif role in _STORED:
                self._stored_input(_text(argument, "as_tensor", where), about.get(_STORED[role]), where)
            elif role != "constant_input":
                raise ModelFormatError(f"{where}: an input that is a {role} has no place in the format")

    def _user_input(self, argument: Any, where: str) -> None:
        kind, body = _union(argument, where)
        if kind == "as_tensor":
            name = _text(argument, "as_tensor", where)
            self._define(name, self.graph.placeholder(self._input_name(name)), where)
        elif kind in ("as_none", "as_bool", "as_int", "as_float", "as_string"):
            self.notes.append(f"the argument {str(body)[:80]!r} of the exported call is fixed in the graph")
        else:
            raise ModelFormatError(f"{where}: an input {kind} has no place in the format; inputs are tensors")

    def _input_name(self, name: str) -> str:
        """``name`` where it may stand in a graph and is free."""
        taken = {node.target for node in self.graph.find_nodes(op="placeholder")}
        free = name if names.is_input_name(name) else f"input_{len(taken)}"
        while free in taken:
            free += "_"
        return free

    def _stored_input(self, name: str, path: Any, where: str) -> None:
        if not isinstance(path, str) or path not in self.tensors:
            raise ModelFormatError(f"{where}: the archive has no tensor {str(path)[:120]!r}")
        self._define(name, self.graph.get_attr(cleaned(path)), where)

    def _outputs(self) -> list[Any]:
        for i, spec in enumerate(self.signature.output_specs):
            role, about = _role(spec, f"outputs[{i}]")
            if role != "user_output":
                what = about.get("buffer_name") or about.get("parameter_name") or about.get("user_input_name")
                raise ModelFormatError(
                    f"the exported program changes {str(what)[:120]!r} ({role}); call .eval() before the export"
                )
        return [self._argument(a, f"outputs[{i}]") for i, a in enumerate(self.record.outputs)]

    def _define(self, name: str, node: fx.Node, where: str) -> None:
        if name in self.values:
            raise ModelFormatError(f"{where}: the value {name[:120]!r} is defined twice")
        self.values[name] = node
        if name in self.record.tensor_values:
            node.meta["val"] = tensor_value(self.record.tensor_values[name], f"tensor_values.{name[:120]}")
        elif name in self.record.sym_int_values:
            size = _size(self.record.sym_int_values[name], f"sym_int_values.{name[:120]}")
            node.meta["val"] = size if isinstance(size, int) else size.hint or 0

    # --- calls

    def _node(self, record: NodeRecord, where: str) -> None:
        metadata = _metadata(record.metadata)
        target = targets().get(record.target)
        if target is None:
            raise ModelFormatError(
                f"{where}: the operator {record.target[:120]!r} is not in the format yet{_user_line(metadata)}"
            )
        args, kwargs = self._arguments(record, target, where)
        _check_call(target, args, kwargs, where)
        node = self.graph.call_function(target, args, kwargs)
        node.meta.update(metadata)
        self._results(record.outputs, node, where)

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

    def _results(self, outputs: list[dict[str, Any]], node: fx.Node, where: str) -> None:
        """Name what ``node`` gives: itself, or the parts of a list or tuple."""
        kinds = [_union(output, where)[0] for output in outputs]
        if kinds in (["as_tensor"], ["as_sym_int"], ["as_sym_bool"], ["as_sym_float"]):
            self._define(_text(outputs[0], kinds[0], where), node, where)
            return
        several = _listed(outputs[0], "as_tensors", where) if kinds == ["as_tensors"] else None
        parts = outputs if several is None else [{"as_tensor": t} for t in several]
        for i, part in enumerate(parts):
            if "as_none" not in part:
                item = self.graph.call_function(operator.getitem, (node, i))
                self._define(_text(part, "as_tensor", where), item, where)

    # --- arguments

    def _argument(self, argument: Any, where: str) -> Any:
        kind, body = _union(argument, where)
        if kind in ("as_tensor", "as_sym_int", "as_sym_float", "as_sym_bool"):
            return self._value(argument, kind, where)
        if kind == "as_optional_tensor":
            return self._argument(body, where)
        if kind in _LISTS:
            return [self._element(_LISTS[kind], item, where) for item in _listed(argument, kind, where)]
        if kind not in _CONSTANTS:
            raise ModelFormatError(f"{where}: an argument {kind} has no place in the format")
        return _constant(kind, body, where)

    def _element(self, kind: str, item: Any, where: str) -> Any:
        return self._argument(item if kind == "as_optional_tensor" else {kind: item}, where)

    def _value(self, argument: Any, kind: str, where: str) -> Any:
        """A value that was named before, or the number that stands in its place."""
        body = argument[kind]
        if kind != "as_tensor" and isinstance(body, dict) and "as_name" not in body:
            return self._argument(body, where)
        name = _text(argument, kind, where)
        if name not in self.values:
            raise ModelFormatError(f"{where}: the value {name[:120]!r} is not defined before it is used")
        return self.values[name]


# --- words of the serialised form


def _union(value: Any, where: str) -> tuple[str, Any]:
    """Kind and body of ``{"as_int": 3}``: one key, as torch writes its unions."""
    if not isinstance(value, dict) or len(value) != 1:
        raise ModelFormatError(f"{where}: {str(value)[:120]!r} is no union of one key")
    kind, body = next(iter(value.items()))
    return kind, body


def _role(spec: Any, where: str) -> tuple[str, dict[str, Any]]:
    """What an input or output of the graph is, and what the signature says of it."""
    role, about = _union(spec, where)
    if not isinstance(about, dict):
        raise ModelFormatError(f"{where}: {str(spec)[:120]!r} is no part of a signature")
    return role, about


def _listed(argument: Any, kind: str, where: str) -> list[Any]:
    if not isinstance(argument[kind], list):
        raise ModelFormatError(f"{where}: {kind} is no list")
    found: list[Any] = argument[kind]
    return found


def _text(argument: Any, kind: str, where: str) -> str:
    """The name in ``{"as_tensor": {"name": x}}`` or ``{"as_sym_int": {"as_name": x}}``."""
    body = argument.get(kind) if isinstance(argument, dict) else None
    name = body.get("name" if kind == "as_tensor" else "as_name") if isinstance(body, dict) else None
    if not isinstance(name, str):
        raise ModelFormatError(f"{where}: {str(argument)[:120]!r} names no value")
    return name


def _constant(kind: str, body: Any, where: str) -> Any:
    """A constant argument.

    Raises:
        ModelFormatError: not of its kind, or a dtype, device or memory format that the format does not hold.
    """
    accepted, read = _CONSTANTS[kind]
    if not isinstance(body, accepted) or (isinstance(body, bool) and accepted is not bool):
        raise ModelFormatError(f"{where}: {str(body)[:120]!r} is no {kind}")
    value = read(body)
    if value is None and kind != "as_none":
        raise ModelFormatError(f"{where}: {kind} {str(body)[:120]} has no place in the format")
    return value


def _float(body: float | int | str) -> float | None:
    return _FLOATS.get(body) if isinstance(body, str) else float(body)


def _int(body: int) -> int | None:
    return body if abs(body) <= MAX_INT else None


def _device(body: dict[str, Any]) -> torch.device | None:
    return torch.device(body["type"]) if body.get("type") in ("cpu", "cuda", "mps", "xpu") else None


_STORED = {"parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name"}
_KEYWORD = 2
_SYMBOL = re.compile(r"Symbol\('([A-Za-z_][A-Za-z0-9_]{0,60})'(?:, [a-z_]+=(?:True|False))*\)")
_FLOATS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}
_MEMORY_FORMATS = {1: torch.contiguous_format, 2: torch.channels_last, 4: torch.preserve_format}
_LISTS = {
    "as_tensors": "as_tensor", "as_ints": "as_int", "as_floats": "as_float", "as_strings": "as_string",
    "as_bools": "as_bool", "as_sym_ints": "as_sym_int", "as_sym_floats": "as_sym_float",
    "as_optional_tensors": "as_optional_tensor",
}  # fmt: skip
_CONSTANTS: Mapping[str, tuple[Any, Callable[[Any], Any]]] = {
    "as_none": (bool, lambda body: None),
    "as_int": (int, _int),
    "as_float": (float | int | str, _float),
    "as_string": (str, str),
    "as_bool": (bool, bool),
    "as_scalar_type": (int, DTYPES.get),
    "as_memory_format": (int, _MEMORY_FORMATS.get),
    "as_layout": (int, {STRIDED: torch.strided}.get),
    "as_device": (dict, _device),
}


# --- tensors and metadata


def cleaned(path: str) -> str:
    """``path`` as it may stand in a graph.

    Raises:
        ModelFormatError: it is no path, or too deep.
    """
    clean = names.clean(path)
    if not names.is_path(clean):
        raise ModelFormatError(f"the tensor's path {path[:120]!r} is none, or too long or deep")
    return clean


def _with_tensors(source: Source, tensors: Mapping[str, Tensor]) -> Source:
    """Register ``tensors`` in modules under ``source``."""
    for name, tensor in tensors.items():
        path, _, last = cleaned(name).rpartition(".")
        owner: nn.Module = source
        for part in filter(None, path.split(".")):
            if part not in owner._modules:
                _check_free(owner, part, name)
                owner.add_module(part, nn.Module())
            owner = owner.get_submodule(part)
        _check_free(owner, last, name)
        if isinstance(tensor, nn.Parameter):
            owner.register_parameter(last, tensor)
        else:
            owner.register_buffer(last, tensor)
    return source


def _check_free(owner: nn.Module, part: str, name: str) -> None:
    if hasattr(owner, part):
        raise ModelFormatError(f"the tensor {name[:120]!r} stands where another tensor or module is")


def tensor_value(meta: TensorMeta, where: str) -> TensorValue:
    """Rank, dtype and sizes of a value.

    Raises:
        ModelFormatError: a dtype that the format does not hold, or sizes that are none.
    """
    if meta.dtype not in DTYPES:
        raise ModelFormatError(f"{where}: dtype {meta.dtype} has no place in the format")
    return TensorValue(tuple(_size(n, where) for n in meta.sizes), DTYPES[meta.dtype])


def _size(value: dict[str, Any], where: str) -> int | Dynamic:
    kind, body = _union(value, where)
    if kind != "as_expr":
        return natural(value, where)
    expression = body.get("expr_str") if isinstance(body, dict) else None
    if not isinstance(expression, str):
        raise ModelFormatError(f"{where}: {str(value)[:120]!r} is no size")
    hint = body.get("hint")
    return Dynamic(expression, natural(hint, where) if isinstance(hint, dict) else None)


def _metadata(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The user's line and the modules that a node was traced in, as ``torch.export`` keeps them."""
    trace = metadata.get("stack_trace", "")[-MAX_TRACE:].encode("utf-8", "replace").decode()
    stack = {}
    for entry in filter(None, metadata.get("nn_module_stack", "").split(";")):
        key, _, rest = entry.partition(",")
        path, _, kind = rest.partition(",")
        stack[key] = (path, kind)
    return {"stack_trace": trace, "nn_module_stack": stack}


def _check_call(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any], where: str) -> None:
    """Refuse arguments of other types than the operator's, and what only an export in training mode holds."""
    if hasattr(target, "_schema"):
        operators.check_schema(str(target), target._schema, args, kwargs, where)
    elif target in operators.names():
        operators.check_call(operators.names()[target], args, kwargs, where)
    elif kwargs or len(args) != 2:
        raise ModelFormatError(f"{where}: {target.__name__} compares two sizes, not {args!r}")
    training = target is torch.ops.aten.batch_norm.default and args[3] is not None and args[5] is True
    if training or (target in DROPOUTS and args[2] is True):
        raise ModelFormatError(f"{where}: {target} of training mode; call .eval() before torch.export.export")


def _user_line(metadata: Mapping[str, Any]) -> str:
    lines = [line.strip() for line in metadata["stack_trace"].splitlines() if line.strip()]
    return f", called at {lines[-2].removeprefix('File ')}: {lines[-1]}" if len(lines) > 1 else ""
