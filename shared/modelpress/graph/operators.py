"""The operators that a graph may call: an enumerated list of overloads, each checked against its own schema.

"All of aten" would be no list: `aten.from_file` reads and writes files, creators allocate without bound. So only
what is named here can be called, and each argument must have the type that the operator's schema declares.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import fx

from modelpress.errors import ModelFormatError
from modelpress.graph import creators

UNARY = (
    "abs.default", "acos.default", "asin.default", "atan.default", "bitwise_not.default", "ceil.default",
    "celu.default", "clamp.default", "clamp_max.default", "clamp_min.default", "cos.default", "elu.default",
    "erf.default",
    "exp.default", "exp2.default", "expm1.default", "floor.default", "gelu.default", "hardshrink.default",
    "hardsigmoid.default", "hardswish.default", "hardtanh.default", "isfinite.default", "isinf.default",
    "isnan.default", "leaky_relu.default", "log.default", "log10.default", "log1p.default", "log2.default",
    "log_sigmoid.default", "logical_not.default", "masked_fill.Scalar", "mish.default", "nan_to_num.default",
    "neg.default", "pow.Scalar", "pow.Tensor_Scalar", "reciprocal.default", "relu.default", "relu6.default",
    "round.default", "rsqrt.default", "selu.default", "sigmoid.default", "sign.default", "silu.default", "sin.default",
    "softplus.default", "softshrink.default", "sqrt.default", "square.default", "tan.default",
    "tanh.default", "threshold.default", "trunc.default",
)  # fmt: skip
BINARY = (
    "add.Scalar", "add.Tensor", "atan2.default", "bitwise_and.Scalar", "bitwise_and.Tensor", "bitwise_or.Scalar",
    "bitwise_or.Tensor", "div.Scalar", "div.Scalar_mode", "div.Tensor", "div.Tensor_mode", "eq.Scalar", "eq.Tensor",
    "floor_divide.Scalar", "floor_divide.default", "ge.Scalar", "ge.Tensor", "gt.Scalar", "gt.Tensor", "le.Scalar",
    "le.Tensor", "lerp.Scalar", "lerp.Tensor", "logical_and.default", "logical_or.default", "lt.Scalar", "lt.Tensor",
    "masked_fill.Tensor", "maximum.default", "minimum.default", "mul.Scalar", "mul.Tensor", "ne.Scalar", "ne.Tensor",
    "pow.Tensor_Tensor", "remainder.Scalar", "remainder.Tensor", "rsub.Scalar", "sub.Scalar", "sub.Tensor",
    "where.Scalar", "where.ScalarOther", "where.ScalarSelf", "where.self", "addcmul.default", "addcdiv.default",
)  # fmt: skip
REDUCTIONS = (
    "all.default", "all.dim", "amax.default", "amin.default", "any.default", "any.dim", "argmax.default",
    "argmin.default", "count_nonzero.dim_IntList", "cumprod.default", "cumsum.default", "linalg_vector_norm.default",
    "log_softmax.int", "logsumexp.default", "max.default", "max.dim", "mean.default", "mean.dim", "min.default",
    "min.dim", "norm.ScalarOpt_dim", "prod.default", "prod.dim_int", "softmax.int", "std.correction",
    "std.dim", "std_mean.correction", "sum.default", "sum.dim_IntList", "var.correction", "var.dim",
    "var_mean.correction", "glu.default", "sort.default", "argsort.default", "topk.default",
    "cosine_similarity.default", "pairwise_distance.default", "cdist.default",
)  # fmt: skip
POOLING = (
    "adaptive_avg_pool1d.default", "adaptive_avg_pool2d.default", "adaptive_avg_pool3d.default",
    "adaptive_max_pool1d.default", "adaptive_max_pool2d.default", "adaptive_max_pool3d.default",
    "avg_pool1d.default", "avg_pool2d.default", "avg_pool3d.default", "max_pool1d.default", "max_pool2d.default",
    "max_pool2d_with_indices.default", "max_pool3d.default", "max_unpool2d.default",
)  # fmt: skip
RESAMPLING = (
    "affine_grid_generator.default", "channel_shuffle.default", "col2im.default", "constant_pad_nd.default",
    "grid_sampler.default", "im2col.default", "pad.default", "pixel_shuffle.default", "pixel_unshuffle.default",
    "upsample_bicubic2d.vec", "upsample_bilinear2d.default", "upsample_bilinear2d.vec", "upsample_linear1d.vec",
    "upsample_nearest1d.vec", "upsample_nearest2d.default", "upsample_nearest2d.vec", "upsample_nearest3d.vec",
    "upsample_trilinear3d.vec",
)  # fmt: skip
SHAPES = (
    "alias.default", "broadcast_to.default", "cat.default", "chunk.default", "clone.default", "concat.default",
    "contiguous.default", "detach.default", "diagonal.default", "expand.default", "expand_as.default",
    "flatten.using_ints", "flip.default", "hstack.default", "meshgrid.indexing", "movedim.int", "movedim.intlist",
    "narrow.default", "permute.default", "ravel.default", "repeat.default", "repeat_interleave.self_int",
    "reshape.default", "reshape_as.default", "roll.default", "select.int", "slice.Tensor", "split.Tensor",
    "split.sizes", "split_with_sizes.default", "squeeze.default", "squeeze.dim", "squeeze.dims", "stack.default",
    "swapaxes.default", "sym_size.int", "t.default", "tile.default", "to.dtype", "transpose.int", "tril.default",
    "triu.default", "type_as.default", "unbind.int", "unflatten.int", "unfold.default", "unsqueeze.default",
    "view.default", "view_as.default", "vstack.default",
)  # fmt: skip
INDEXING = (
    "gather.default", "index.Tensor", "index_add.default", "index_copy.default", "index_put.default",
    "index_select.default", "masked_scatter.default", "one_hot.default", "scatter.src", "scatter.value",
    "scatter_add.default", "scatter_reduce.two", "select_scatter.default", "slice_scatter.default",
    "take_along_dim.default",
)  # fmt: skip
CREATORS = (
    "full_like.default", "new_full.default", "new_ones.default", "new_zeros.default", "ones_like.default",
    "zeros_like.default",
)  # fmt: skip
"""On the device of their first argument, and in its dtype unless one was chosen."""
FUNCTIONAL = (
    "addmm.default", "baddbmm.default", "batch_norm.default", "bilinear.default", "bmm.default", "conv1d.default",
    "conv1d.padding", "conv2d.default", "conv2d.padding", "conv3d.default", "conv3d.padding",
    "conv_transpose1d.default", "conv_transpose2d.input", "conv_transpose3d.input", "dot.default", "einsum.default",
    "embedding.default", "group_norm.default", "instance_norm.default", "layer_norm.default", "linear.default",
    "matmul.default", "mm.default", "mv.default", "outer.default", "prelu.default", "rms_norm.default",
    "_weight_norm.default",
)  # fmt: skip
"""Parametrised operators whose weights the graph computes, or that have no leaf."""

ATEN = (
    *UNARY, *BINARY, *REDUCTIONS, *POOLING, *RESAMPLING, *SHAPES, *INDEXING, *CREATORS, *FUNCTIONAL,
)  # fmt: skip


@dataclass(frozen=True)
class Plain:
    """A function that is no aten operator, and what each of its arguments may be, one letter each.

    ``t`` a node; ``n`` a node or an integer; ``i`` an integer; ``f`` a node or a number; ``d`` a dtype or None.
    """

    call: Callable[..., Any]
    arguments: str


PLAIN: Mapping[str, Plain] = {
    "item": Plain(operator.getitem, "ti"),
    "int_add": Plain(operator.add, "nn"),
    "int_sub": Plain(operator.sub, "nn"),
    "int_mul": Plain(operator.mul, "nn"),
    "int_floordiv": Plain(operator.floordiv, "nn"),
    "int_mod": Plain(operator.mod, "nn"),
    "int_neg": Plain(operator.neg, "n"),
    "int_max": Plain(torch.sym_max, "nn"),
    "int_min": Plain(torch.sym_min, "nn"),
    "arange": Plain(creators.arange, "tfffd"),
    "linspace": Plain(creators.linspace, "tffnd"),
    "eye": Plain(creators.eye, "tnnd"),
}
"""Picking one of several outputs, integer arithmetic on sizes, and creators that aten lacks in this form."""

Target = Callable[..., Any]


@cache
def targets() -> Mapping[str, Target]:
    """Name in the file -> what is called."""
    table: dict[str, Target] = {name: plain.call for name, plain in PLAIN.items()}
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
    if name in PLAIN:
        _check_plain(name, args, kwargs, where)
    else:
        given = check_schema(name, targets()[name]._schema, args, kwargs, where)  # type: ignore[attr-defined]
        for key, value in given.items():
            _check_value(f"{where}: {name}'s '{key}'", key, value)


def check_schema(name: str, schema: Any, args: Sequence[Any], kwargs: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Check a call against a ``torch.FunctionSchema``; return its arguments by name.

    Raises:
        ModelFormatError: as `check_call`.
    """
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
    return given


def positioned(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The same call, as torch exports it: no keyword where a position would do.

    Whoever reads a graph finds an operator's tensor at its place then.
    """
    placed, named = list(args), dict(kwargs)
    if name not in PLAIN:
        for argument in targets()[name]._schema.arguments[len(args) :]:  # type: ignore[attr-defined]
            if argument.kwarg_only or argument.name not in named:
                break
            placed.append(named.pop(argument.name))
    return tuple(placed), named


WORDS: Mapping[str, tuple[str, ...]] = {
    "approximate": ("none", "tanh"),
    "indexing": ("ij", "xy"),
    "mode": ("constant", "reflect", "replicate", "circular"),
    "padding": ("same", "valid"),
    "reduce": ("sum", "prod", "mean", "amax", "amin"),
    "rounding_mode": ("trunc", "floor"),
}
"""What an argument that is text may say; ``equation`` (of einsum) is the only other one."""
EQUATION = re.compile(r"[A-Za-z., ]{0,100}(->[A-Za-z. ]{0,50})?")
FINITE = ("eps", "momentum")
"""Numbers that may be neither infinite nor NaN; others may: a mask fills with -inf."""
SCALES = ("scale_factors", "scales_h", "scales_w")
MAX_SCALE = 2.0**16
"""Scale factors lie between its reciprocal and it: the CPU's kernels take positions over smaller ones for integers
unchecked, and read from where they overflow to."""


def _check_value(where: str, key: str, value: Any) -> None:
    """Check what the schema's types leave open."""
    if isinstance(value, str):
        if key == "equation" and not EQUATION.fullmatch(value):
            raise ModelFormatError(f"{where} is {value[:80]!r}; it is letters, commas, dots and one arrow")
        if key != "equation" and value not in WORDS[key]:
            raise ModelFormatError(f"{where} is {value[:80]!r}; it may be {', '.join(WORDS[key])}")
    numbers = value if isinstance(value, list | tuple) else (value,)
    if key in FINITE and not all(math.isfinite(n) for n in numbers if isinstance(n, float)):
        raise ModelFormatError(f"{where} must be finite, not {value}")
    if key in SCALES and not all(1 / MAX_SCALE <= n <= MAX_SCALE for n in numbers if n is not None):
        raise ModelFormatError(f"{where} must lie between {1 / MAX_SCALE:g} and {MAX_SCALE:g}, not {value}")
    if key == "pin_memory" and value:
        raise ModelFormatError(f"{where} names memory; a graph chooses no place")


def _check_plain(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], where: str) -> None:
    letters = PLAIN[name].arguments
    if kwargs or len(args) != len(letters) or not all(_ALLOWED[k](a) for k, a in zip(letters, args, strict=True)):
        raise ModelFormatError(f"{where}: {name} does not take {tuple(args)!r} {dict(kwargs)!r}")


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_ALLOWED: Mapping[str, Callable[[Any], bool]] = {
    "t": lambda v: isinstance(v, fx.Node),
    "n": lambda v: isinstance(v, fx.Node) or _is_int(v),
    "i": _is_int,
    "f": lambda v: isinstance(v, fx.Node | float) or _is_int(v),
    "d": lambda v: v is None or isinstance(v, torch.dtype),
}


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
    "DeviceObjType": lambda v: isinstance(v, torch.device),
    "LayoutType": lambda v: isinstance(v, torch.layout),
}
