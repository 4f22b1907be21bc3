"""The words of a serialised export: what an archive may call, and arguments, sizes and values as it writes them.

What a file calls is looked up in a table from names to enumerated operators, never followed along its dots. Symbolic
expressions are text here: a dimension is known to be dynamic, how it is computed is not evaluated.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from modelpress.errors import ModelFormatError
from modelpress.graph import operators
from modelpress.graph.arguments import MAX_INT
from modelpress.graph.lift.canonical import SYNONYMS
from modelpress.graph.lift.creators import CREATORS
from modelpress.graph.lift.dtypes import CASTS
from modelpress.graph.lift.leaves import DROPOUTS, LEAVES
from modelpress.graph.lift.memory import WRITERS
from modelpress.graph.lift.recurrent import KINDS
from modelpress.graph.pt2.archive import DTYPES, STRIDED, TensorMeta, natural

aten = torch.ops.aten
REWRITTEN = (
    *SYNONYMS, *CREATORS, *CASTS, *KINDS, *WRITERS, aten.scaled_dot_product_attention.default,
    aten.lstm_cell.default, aten.gru_cell.default, aten.rnn_tanh_cell.default, aten.rnn_relu_cell.default,
    aten.lift_fresh.default, aten.lift_fresh_copy.default, aten._assert_async.default, aten._assert_async.msg,
    aten._assert_scalar.default, aten._assert_tensor_metadata.default, aten.sym_constrain_range.default,
    aten.sym_constrain_range_for_size.default,
)  # fmt: skip
"""Operators that no lifted graph has: lifting says them in other words of the format or leaves them out."""
REGIONS: Mapping[str, tuple[Any, tuple[Any, ...]]] = {
    "torch.ops.higher_order.wrap_with_set_grad_enabled": (torch.ops.higher_order.wrap_with_set_grad_enabled, (bool,)),
    "torch.ops.higher_order.wrap_with_autocast": (
        torch.ops.higher_order.wrap_with_autocast,
        (str, torch.dtype | None, bool, bool | None),
    ),
}
"""What holds a graph of its own: the operator, and the types of its arguments before that graph."""


@cache
def targets() -> Mapping[str, Any]:
    """Name in an archive -> operator: the format's and what lifting rewrites, in-place forms included."""
    table: dict[str, Any] = dict(_PLAIN)
    for target in {*operators.names(), *LEAVES, *DROPOUTS, *REWRITTEN}:
        if isinstance(target, torch._ops.OpOverload):
            for form in (target, _in_place_form(target)):
                table[f"torch.ops.{form}"] = form
    return table


def _in_place_form(target: torch._ops.OpOverload) -> torch._ops.OpOverload:
    """``aten.relu_.default`` of ``aten.relu.default`` where there is one, else the operator itself."""
    packet = getattr(aten, f"{target.overloadpacket.__name__}_", None)
    form: torch._ops.OpOverload = getattr(packet, target._overloadname, target)
    return form


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


# --- unions and constants


def union(value: Any, where: str) -> tuple[str, Any]:
    """Kind and body of ``{"as_int": 3}``: one key, as torch writes its unions."""
    if not isinstance(value, dict) or len(value) != 1:
        raise ModelFormatError(f"{where}: {str(value)[:120]!r} is no union of one key")
    kind, body = next(iter(value.items()))
    return kind, body


def role_of(spec: Any, where: str) -> tuple[str, dict[str, Any]]:
    """What an input or output of the graph is, and what the signature says of it."""
    role, about = union(spec, where)
    if not isinstance(about, dict):
        raise ModelFormatError(f"{where}: {str(spec)[:120]!r} is no part of a signature")
    return role, about


def listed(argument: Any, kind: str, where: str) -> list[Any]:
    if not isinstance(argument[kind], list):
        raise ModelFormatError(f"{where}: {kind} is no list")
    found: list[Any] = argument[kind]
    return found


def text_of(argument: Any, kind: str, where: str) -> str:
    """The name in ``{"as_tensor": {"name": x}}`` or ``{"as_sym_int": {"as_name": x}}``."""
    body = argument.get(kind) if isinstance(argument, dict) else None
    name = body.get("name" if kind == "as_tensor" else "as_name") if isinstance(body, dict) else None
    if not isinstance(name, str):
        raise ModelFormatError(f"{where}: {str(argument)[:120]!r} names no value")
    return name


def constant(kind: str, body: Any, where: str) -> Any:
    """A constant argument.

    Raises:
        ModelFormatError: not of its kind, or a dtype, device or memory format that the format does not hold.
    """
    accepted, read = CONSTANTS[kind]
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


_SYMBOL = re.compile(r"Symbol\('([A-Za-z_][A-Za-z0-9_]{0,60})'(?:, [a-z_]+=(?:True|False))*\)")
_FLOATS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}
_MEMORY_FORMATS = {1: torch.contiguous_format, 2: torch.channels_last, 4: torch.preserve_format}
CONSTANTS: Mapping[str, tuple[Any, Callable[[Any], Any]]] = {
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


# --- values


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

    def to(self, dtype: torch.dtype) -> TensorValue:
        return TensorValue(self.shape, dtype)


def tensor_value(meta: TensorMeta, where: str) -> TensorValue:
    """Rank, dtype and sizes of a value.

    Raises:
        ModelFormatError: a dtype that the format does not hold, or sizes that are none.
    """
    if meta.dtype not in DTYPES:
        raise ModelFormatError(f"{where}: dtype {meta.dtype} has no place in the format")
    return TensorValue(tuple(size_of(n, where) for n in meta.sizes), DTYPES[meta.dtype])


def size_of(value: dict[str, Any], where: str) -> int | Dynamic:
    kind, body = union(value, where)
    if kind != "as_expr":
        return natural(value, where)
    expression = body.get("expr_str") if isinstance(body, dict) else None
    if not isinstance(expression, str):
        raise ModelFormatError(f"{where}: {str(value)[:120]!r} is no size")
    hint = body.get("hint")
    return Dynamic(expression, natural(hint, where) if isinstance(hint, dict) else None)
