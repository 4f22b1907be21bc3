"""What flows through a graph, computed on the meta device before anything real is: whatever a file says that its
operators create, repeat, pad or multiply is refused here, where a tensor of 2^60 elements costs nothing.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._python_dispatch import TorchDispatchMode

from modelpress.constraints.fake_quantize import FakeQuantize
from modelpress.errors import ModelFormatError
from modelpress.graph import operators
from modelpress.graph.behaviour import Attention
from modelpress.graph.model import TensorSpec

MAX_ELEMENTS = 2**31
"""Of any tensor, an operator's intermediates included: 8 GiB in float32, more than a layer of any model in scope."""
MAX_TOTAL = 2**34
"""Of all tensors together, views not counted: what training would keep, 64 GiB in float32."""
MAX_TENSORS = 100_000
"""Made by a graph's operators and what they are composed of; a transformer of 24 layers makes some 3,000."""
MAX_PIECES = 4096
"""Of one tensor by split, chunk or unbind."""
MAX_STRIDE = 2**17
"""A convolution's stride times its channels (16 at least). Beyond some 1.5 times as much, oneDNN's kernels for the
gradient end the process (torch 2.14.1: 16 channels at stride 12,000, 512 at 1,024)."""
MAX_RANK = 16
MAX_INT = 2**63 - 1
PRODUCTS = frozenset({"mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "convolution"})
MAX_POOLS = {"max_pool2d_with_indices": 2, "max_pool3d_with_indices": 3}
NORMS = frozenset({"native_batch_norm", "native_layer_norm", "native_group_norm"})
"""What wants one dtype and does not say so on the meta device; a norm's parameters may be float32 over halves."""
HALVES = (torch.float16, torch.bfloat16)


def check_shapes(root: nn.Module, graph: fx.Graph, inputs: Sequence[TensorSpec], sizes: Mapping[str, int]) -> None:
    """Run ``graph`` over ``root``'s modules without computing or allocating anything.

    Args:
        inputs: in the order of the graph's placeholders.
        sizes: of the symbols in the inputs' shapes.

    Raises:
        ModelFormatError: an operator or leaf refuses its arguments (shapes and dtypes), depends on values, or makes
            more than the bounds of this file; names ``nodes[i]`` and the operator.
    """
    examples = [_meta(spec, sizes) for spec in inputs]
    checker = _Checker(_without_memory(root), graph)
    with torch.no_grad(), checker.ledger:
        checker.run(*examples)


def _meta(spec: TensorSpec, sizes: Mapping[str, int]) -> Tensor:
    shape = [sizes[n] if isinstance(n, str) else n for n in spec.shape]
    if math.prod(shape) > MAX_ELEMENTS:
        raise ModelFormatError(f"inputs.{spec.name}: {shape} has more than {MAX_ELEMENTS} elements")
    return torch.empty(shape, dtype=getattr(torch, spec.dtype), device="meta")


def _without_memory(root: nn.Module) -> nn.Module:
    """A copy of ``root`` with meta tensors in place of its own, ties kept."""
    memo: dict[int, Any] = {id(p): nn.Parameter(p.detach().to("meta"), p.requires_grad) for p in root.parameters()}
    memo.update({id(b): b.to("meta") for b in root.buffers()})
    twin = nn.Module()
    for table in ("_modules", "_parameters", "_buffers"):
        setattr(twin, table, copy.deepcopy(getattr(root, table), memo))
    return twin


GRID_SAMPLERS = ("grid_sampler_2d", "grid_sampler_3d")
"""Where the grid holds no finite numbers, as in a training that diverges."""


class _Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts and bounds what every operator makes, down to what composite ones are made of."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tensors = 0
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.partition("::")[2]
        if name in _PIECES:
            _check_pieces(_PIECES[name](*args))
        if name in PRODUCTS or name in NORMS:
            _check_one_dtype(args, mixed=name in NORMS)
        if name == "convolution":
            _check_convolution(*args)
        if name in MAX_POOLS:
            _check_windows(args[0].shape[-MAX_POOLS[name] :], *args[4:5])
        if name in GRID_SAMPLERS and args[3] != 0:
            raise ModelFormatError(
                "a grid's padding mode is 0 (zeros): torch's gradient of others reads beyond tensors"
            )
        made = func(*args, **(kwargs or {}))
        tensors = [t for t in (made if isinstance(made, tuple | list) else (made,)) if isinstance(t, Tensor)]
        for tensor in tensors:
            _check_size(tensor)
        self._add(len(tensors), 0 if func.is_view else sum(t.numel() for t in tensors))
        return made

    def _add(self, tensors: int, elements: int) -> None:
        self.tensors += tensors
        self.elements += elements
        if self.tensors > MAX_TENSORS:
            raise ModelFormatError(f"the graph makes more than {MAX_TENSORS} tensors")
        if self.elements > MAX_TOTAL:
            raise ModelFormatError(f"the graph makes tensors of more than {MAX_TOTAL} elements in all")


def _unbound(x: Tensor, dim: int = 0) -> int:
    return x.shape[dim]


def _split(x: Tensor, size: int, dim: int = 0) -> int:
    return math.ceil(x.shape[dim] / size) if size > 0 else 0


_PIECES: Mapping[str, Callable[..., int]] = {"unbind": _unbound, "split": _split}


def _check_pieces(count: int) -> None:
    """Before there are so many."""
    if count > MAX_PIECES:
        raise ModelFormatError(f"{count} pieces of one tensor; the limit is {MAX_PIECES}")


def _check_convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int], transposed: bool, output_padding: Sequence[int], groups: int,
) -> None:  # fmt: skip
    """What the CPU refuses, or dies of, and the meta device takes."""
    given, made = (
        (weight.shape[0], weight.shape[1] * groups) if transposed else (weight.shape[1] * groups, weight.shape[0])
    )
    if x.shape[1] != given or weight.shape[0] % groups or (bias is not None and list(bias.shape) != [made]):
        raise ModelFormatError(f"{groups} groups of weights {list(weight.shape)} do not fit their input or bias")
    if min(dilation) < 1 or any(
        len(part) not in (1, x.ndim - 2) for part in (stride, padding, dilation, output_padding)
    ):
        raise ModelFormatError(
            "a convolution's steps and paddings are one number, or one a dimension, dilations over 0"
        )
    channels = max(16, given, made)
    if max(stride) * channels > MAX_STRIDE:
        raise ModelFormatError(
            f"a stride of {max(stride)} over {channels} channels; their product is {MAX_STRIDE} at most"
        )


def _check_windows(space: Sequence[int], dilation: Sequence[int] = (1,)) -> None:
    """A window that steps over its input has its largest element beyond it, where the CPU writes the gradient."""
    steps = dilation if len(dilation) == len(space) else [dilation[0]] * len(space)
    if any(step > size for step, size in zip(steps, space, strict=True)):
        raise ModelFormatError(f"windows that step by {list(dilation)} over {list(space)}")


def _check_size(tensor: Tensor) -> None:
    if tensor.ndim > MAX_RANK:
        raise ModelFormatError(f"a tensor of {tensor.ndim} dimensions; the limit is {MAX_RANK}")
    if tensor.numel() > MAX_ELEMENTS:
        raise ModelFormatError(f"a tensor of {list(tensor.shape)} has more than {MAX_ELEMENTS} elements")


def _check_one_dtype(args: Sequence[Any], *, mixed: bool) -> None:
    first, *others = [a.dtype for a in args if isinstance(a, Tensor)]
    allowed = (first, torch.float32) if mixed and first in HALVES else (first,)
    odd = [d for d in others if d not in allowed]
    if odd:
        raise ModelFormatError(f"it takes tensors of one dtype, not {first} and {odd[0]}")


class _Checker(fx.Interpreter):
    def __init__(self, root: nn.Module, graph: fx.Graph) -> None:
        super().__init__(root, graph=graph)
        self.extra_traceback = False  # of the graph's code, which there is none of
        self.ledger = _Ledger()
        self._index = -1

    def run_node(self, n: fx.Node) -> Any:
        self._index += 1
        try:
            return super().run_node(n)
        except Exception as e:  # whatever an operator says to arguments that a stranger chose
            raise ModelFormatError(f"nodes[{self._index}]: {_called(n)}: {_first_line(e)}") from e

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if operators.names()[target] in operators.PLAIN:
            _check_plain(operators.names()[target], args)
        if target is torch.ops.aten._weight_norm.default:
            _check_weight_norm(*args, **kwargs)
        result = super().call_function(target, args, kwargs)
        if isinstance(result, int) and abs(result) > MAX_INT:
            raise ModelFormatError(f"the integer {result} is beyond 64 bits")
        return result

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        leaf = self.fetch_attr(target)
        if not all(_is_tensors(a) for a in args):
            raise ModelFormatError("a leaf takes tensors")
        if isinstance(leaf, nn.RNNBase):
            return _recur(leaf, *args)
        if isinstance(leaf, FakeQuantize):
            return _on_grid(*args)
        if isinstance(leaf, Attention):
            _check_scores(*args)
        return leaf(*args)


def _is_tensors(value: Any) -> bool:
    many = isinstance(value, list | tuple) and all(isinstance(v, Tensor) for v in value)
    return value is None or many or isinstance(value, Tensor)


def _check_plain(name: str, args: Sequence[Any]) -> None:
    """Numbers where numbers belong: Python's operators would as soon double a list of tensors."""
    if name == "item":
        if not isinstance(args[0], list | tuple):
            raise ModelFormatError("picks one of several outputs, and there is only one")
        return
    letters = operators.PLAIN[name].arguments
    for letter, value in zip(letters, args, strict=True):
        wanted = {"n": int, "i": int, "f": int | float, "t": Tensor}.get(letter, object)
        if not isinstance(value, wanted):
            raise ModelFormatError(f"wants {wanted}, not a {type(value).__name__}")


def _check_weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> None:
    """The CPU's kernel reads and writes as many entries of ``g`` as ``v`` has there, and looks at no shape."""
    wanted = [n if i == dim else 1 for i, n in enumerate(v.shape)] if dim >= 0 else []
    if not -1 <= dim < v.ndim or list(g.shape) != wanted:
        raise ModelFormatError(f"lengths of {list(g.shape)} along {dim} for directions of {list(v.shape)}")


def _recur(leaf: nn.RNNBase, x: Tensor, state: Any = None) -> Any:
    """What ``leaf`` gives, from one step of time: torch would go through all of them."""
    time = 1 if leaf.batch_first and x.ndim == 3 else 0
    steps = x.shape[time]
    out, last = leaf(x.narrow(time, 0, min(steps, 1)), tuple(state) if isinstance(state, list) else state)
    return out.expand(*out.shape[:time], steps, *out.shape[time + 1 :]), last


def _on_grid(x: Tensor) -> Tensor:
    """What a `FakeQuantize` gives; its operator has no kernel for the meta device."""
    if x.dtype != torch.float32:
        raise ModelFormatError(f"a grid takes float32, not {x.dtype}")
    return torch.empty_like(x)


def _check_scores(query: Tensor, key: Tensor, *_: Any) -> None:
    """Attention's scores are bounded too, though not all kernels hold them at once."""
    if math.prod(query.shape[:-1]) * key.shape[-2] > MAX_ELEMENTS:
        raise ModelFormatError(f"more than {MAX_ELEMENTS} scores")


def _called(node: fx.Node) -> str:
    return operators.names()[node.target] if node.op == "call_function" else str(node.target)  # type: ignore[index]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
