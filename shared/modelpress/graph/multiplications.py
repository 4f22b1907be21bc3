"""How many multiply-accumulates an operator or a leaf does: one small rule each.

Counted are products that are summed up: convolutions, matrix products, attention, recurrent layers. Elementwise
products, norms and look-ups (embeddings) count nothing, zeros under a mask and causal masks count like all else: that
is what ``torch.utils.flop_counter`` does too, at two operations for each multiply-accumulate.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from modelpress.graph.behaviour import Attention

aten = torch.ops.aten
Arguments = Mapping[str, Any]
"""Of an operator, by the schema's names, defaults left out."""


def operator_macs(node: fx.Node, values: Mapping[fx.Node, Any]) -> int:
    """Of one call of an operator, given what each node gives."""
    rule = OPERATORS.get(node.target)
    if rule is None:
        return 0
    args, kwargs = fx.map_arg((node.args, dict(node.kwargs)), values.__getitem__)
    names = (slot.name for slot in node.target._schema.arguments)  # type: ignore[union-attr]
    return rule({**dict(zip(names, args, strict=False)), **kwargs}, values[node])


def leaf_macs(leaf: nn.Module, inputs: Sequence[Any], output: Any) -> int:
    """Of one call of a leaf module."""
    kind = next((kind for kind in type(leaf).__mro__ if kind in LEAVES), None)
    return LEAVES[kind](leaf, inputs, output) if kind is not None else 0


def _size(shape: Iterable[int]) -> int:
    return math.prod(shape)


def _convolution(a: Arguments, out: Tensor) -> int:
    """Each output is a sum over a window of one group's channels: all that one output channel's weights hold."""
    return out.numel() * _size(a["weight"].shape[1:])


def _transposed_convolution(a: Arguments, out: Tensor) -> int:
    """Each input goes to a window of one group's output channels."""
    return int(a["input"].numel()) * _size(a["weight"].shape[1:])


def _matrix_product(left: str) -> Callable[[Arguments, Tensor], int]:
    """Each output is a sum over the last dimension of the argument ``left``."""
    return lambda a, out: out.numel() * int(a[left].shape[-1])


def _bilinear(a: Arguments, out: Tensor) -> int:
    return out.numel() * _size(a["weight"].shape[1:])


def _einsum(a: Arguments, out: Tensor) -> int:
    return einsum_macs(a["equation"], [tuple(t.shape) for t in a["tensors"]], a.get("path"))


def einsum_macs(equation: str, shapes: Sequence[Sequence[int]], path: Sequence[int] | None = None) -> int:
    """Pair by pair, in the order of ``path`` (as ``torch.einsum`` takes it) or from left to right.

    What only one of the two has and nothing later needs is summed before they are multiplied; a pair with nothing to
    sum over is an elementwise product.

    >>> einsum_macs("bij,bjk->bik", [(2, 3, 5), (2, 5, 7)])
    210
    """
    terms, output = _einsum_letters(equation, [len(shape) for shape in shapes])
    named = [list(zip(term, shape, strict=True)) for term, shape in zip(terms, shapes, strict=True)]
    sizes = {letter: size for term in named for letter, size in term if size != 1}
    pending = [{letter for letter, size in term if size != 1} for term in named]
    order = iter(path or ())
    macs = 0
    while len(pending) > 1:
        i, j = sorted((next(order), next(order))) if path else (0, 1)
        right, left = pending.pop(j), pending.pop(i)
        needed = output.union(*pending)
        summed, kept = (left & right) - needed, (left | right) & needed
        macs += _size(sizes[letter] for letter in summed | kept) if summed else 0
        pending.insert(len(pending) if path else 0, kept)
    return macs


def _einsum_letters(equation: str, ranks: Sequence[int]) -> tuple[list[str], set[str]]:
    """One letter a dimension of each operand, and those of the output; dots become digits, counted from the last."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    dots = [rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=True)]
    digits = "".join(map(str, reversed(range(max(dots)))))
    filled = [term.replace("...", digits[len(digits) - n :]) for term, n in zip(terms, dots, strict=True)]
    if arrow:
        return filled, set(right.replace("...", digits))
    return filled, {letter for letter, n in Counter("".join(filled)).items() if n == 1} | set(digits)


def _conv_leaf(leaf: nn.Module, inputs: Sequence[Any], output: Any) -> int:
    assert isinstance(leaf, nn.modules.conv._ConvNd)
    inner, passed = (leaf.out_channels, inputs[0]) if leaf.transposed else (leaf.in_channels, output)
    return int(passed.numel()) * (inner // leaf.groups) * _size(leaf.kernel_size)


def _linear_leaf(leaf: nn.Module, inputs: Sequence[Any], output: Any) -> int:
    assert isinstance(leaf, nn.Linear)
    return int(output.numel()) * leaf.in_features


def _recurrent_leaf(leaf: nn.Module, inputs: Sequence[Any], output: Any) -> int:
    """Each step of each layer multiplies what comes in and the state by a matrix a gate, then projects if it does."""
    assert isinstance(leaf, nn.RNNBase)
    gates = {"LSTM": 4, "GRU": 3}.get(leaf.mode, 1)
    state = leaf.proj_size or leaf.hidden_size
    directions = 2 if leaf.bidirectional else 1
    widths = [leaf.input_size, *[directions * state] * (leaf.num_layers - 1)]
    cells = [gates * leaf.hidden_size * (width + state) + leaf.proj_size * leaf.hidden_size for width in widths]
    steps = int(inputs[0].numel()) // leaf.input_size
    return steps * directions * sum(cells)


def _attention_leaf(leaf: nn.Module, inputs: Sequence[Any], output: Any) -> int:
    """Scores of n x m pairs over d, and their sums of values: of [..., h, n, d], [..., g, m, d] and [..., g, m, e]."""
    query, key, value = (x.shape for x in inputs[:3])
    return _size(query[:-1]) * int(key[-2]) * int(query[-1] + value[-1])


OPERATORS: Mapping[Any, Callable[[Arguments, Tensor], int]] = {
    **dict.fromkeys(
        (aten.conv1d.default, aten.conv1d.padding, aten.conv2d.default, aten.conv2d.padding, aten.conv3d.default,
         aten.conv3d.padding), _convolution
    ),
    **dict.fromkeys(
        (aten.conv_transpose1d.default, aten.conv_transpose2d.input, aten.conv_transpose3d.input),
        _transposed_convolution
    ),
    **dict.fromkeys(
        (aten.matmul.default, aten.mm.default, aten.bmm.default, aten.mv.default, aten.dot.default),
        _matrix_product("self"),
    ),
    aten.linear.default: _matrix_product("input"),
    aten.addmm.default: _matrix_product("mat1"),
    aten.baddbmm.default: _matrix_product("batch1"),
    aten.bilinear.default: _bilinear,
    aten.einsum.default: _einsum,
}  # fmt: skip

LEAVES: Mapping[type[nn.Module], Callable[[nn.Module, Sequence[Any], Any], int]] = {
    nn.modules.conv._ConvNd: _conv_leaf,
    nn.Linear: _linear_leaf,
    nn.RNNBase: _recurrent_leaf,
    Attention: _attention_leaf,
}
