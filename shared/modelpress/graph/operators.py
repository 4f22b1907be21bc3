"""The operators that a graph may call: an enumerated list of overloads, each checked against its own schema.

"All of aten" would be no list: `aten.from_file` reads and writes files, creators allocate without bound. So only
what is named here can be called, and each argument must have the type that the operator's schema declares.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import fx

from modelpress.errors import ModelFormatError

ELEMENTWISE = (
    "abs.default", "clamp.default", "elu.default", "exp.default", "gelu.default", "hardsigmoid.default",
    "hardswish.default", "hardtanh.default", "leaky_relu.default", "log.default", "mish.default", "neg.default",
    "pow.Tensor_Scalar", "relu.default", "relu6.default", "rsqrt.default", "sigmoid.default", "silu.default",
    "softplus.default", "sqrt.default", "tanh.default",
)  # fmt: skip
BINARY = (
    "add.Scalar", "add.Tensor", "div.Scalar", "div.Tensor", "maximum.default", "minimum.default", "mul.Scalar",
    "mul.Tensor", "sub.Scalar", "sub.Tensor",
)  # fmt: skip
REDUCTIONS = ("amax.default", "amin.default", "log_softmax.int", "mean.dim", "softmax.int", "sum.dim_IntList")
POOLING = (
    "adaptive_avg_pool1d.default", "adaptive_avg_pool2d.default", "adaptive_max_pool2d.default",
    "avg_pool1d.default", "avg_pool2d.default", "max_pool1d.default", "max_pool2d.default",
)  # fmt: skip
SHAPES = (
    "cat.default", "chunk.default", "clone.default", "contiguous.default", "expand.default", "flatten.using_ints",
    "permute.default", "reshape.default", "select.int", "slice.Tensor", "split.Tensor", "split_with_sizes.default",
    "squeeze.dim", "sym_size.int", "t.default", "transpose.int", "unflatten.int", "unsqueeze.default", "view.default",
)  # fmt: skip
FUNCTIONAL = ("bmm.default", "conv2d.default", "linear.default", "matmul.default")

ATEN = (*ELEMENTWISE, *BINARY, *REDUCTIONS, *POOLING, *SHAPES, *FUNCTIONAL)
PYTHON: Mapping[str, Callable[..., Any]] = {
    "item": operator.getitem,
    "int_add": operator.add,
    "int_mul": operator.mul,
    "int_floordiv": operator.floordiv,
}
"""Integer arithmetic on sizes, and picking one of several outputs; their arguments are nodes and integers only."""

Target = Callable[..., Any]


@cache
def targets() -> Mapping[str, Target]:
    """Name in the file -> what is called."""
    table: dict[str, Target] = dict(PYTHON)
    for name in ATEN:
        packet, overload = name.split(".")
        table[f"aten.{name}"] = getattr(getattr(torch.ops.aten, packet), overload)
    return table


@cache
def names() -> Mapping[Target, str]:
    """The inverse of `targets`."""
    return {target: name for name, target in targets().items()}


def check_call(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], where: str) -> None:
    """Check a call of an enumerated operator; node arguments stand for tensors, integers or lists of them.

    Raises:
        ModelFormatError: too many or too few arguments, an unknown keyword, or a value of another type.
    """
    if name in PYTHON:
        _check_python(name, args, kwargs, where)
        return
    schema = targets()[name]._schema  # type: ignore[attr-defined]
    positional = [a for a in schema.arguments if not a.kwarg_only]
    if len(args) > len(positional):
        raise ModelFormatError(f"{where}: {name} takes at most {len(positional)} positional arguments, not {len(args)}")
    given = {a.name: v for a, v in zip(positional, args, strict=False)}
    known = {a.name: a for a in schema.arguments}
    for key, value in kwargs.items():
        if key not in known or key in given:
            raise ModelFormatError(f"{where}: {name} takes no keyword '{key}' here; it takes {', '.join(known)}")
        given[key] = value
    for argument in schema.arguments:
        if argument.name not in given:
            if not argument.has_default_value():
                raise ModelFormatError(f"{where}: {name} lacks its argument '{argument.name}'")
        elif not _fits(given[argument.name], argument.real_type):
            value = given[argument.name]
            raise ModelFormatError(f"{where}: {name}'s '{argument.name}' is a {argument.real_type}, not {value!r}")


def _check_python(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], where: str) -> None:
    sound = len(args) == 2 and not kwargs and all(isinstance(a, fx.Node) or _is_int(a) for a in args)
    if name == "item":
        sound = sound and isinstance(args[0], fx.Node) and _is_int(args[1])
    if not sound:
        raise ModelFormatError(f"{where}: {name} takes two nodes or integers, not {tuple(args)!r} {dict(kwargs)!r}")


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _fits(value: Any, kind: Any) -> bool:
    """Whether ``value`` may stand where the schema says ``kind`` (a ``torch._C`` type)."""
    name = kind.kind()
    if name == "OptionalType":
        return value is None or _fits(value, kind.getElementType())
    if name == "ListType":
        one = kind.getElementType()
        if isinstance(value, fx.Node):
            return bool(one.kind() == "TensorType")
        return _fits(value, one) if not isinstance(value, list | tuple) else all(_fits(v, one) for v in value)
    return _SCALARS[name](value) if name in _SCALARS else False


_SCALARS: Mapping[str, Callable[[Any], bool]] = {
    # torch takes a number where a tensor is asked for: `x * 0.5` exports as mul.Tensor(x, 0.5).
    "TensorType": lambda v: isinstance(v, fx.Node | int | float) and not isinstance(v, bool),
    "IntType": lambda v: _is_int(v) or isinstance(v, fx.Node),
    "SymIntType": lambda v: _is_int(v) or isinstance(v, fx.Node),
    "NumberType": lambda v: isinstance(v, bool | int | float | fx.Node),
    "FloatType": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "BoolType": lambda v: isinstance(v, bool),
    "StringType": lambda v: isinstance(v, str),
    "ScalarTypeType": lambda v: isinstance(v, torch.dtype),
    "MemoryFormatType": lambda v: isinstance(v, torch.memory_format),
}
