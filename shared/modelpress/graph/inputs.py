"""Example inputs as a module is called with them: nested, named flat, with a symbol for each dynamic dimension.

A module takes tensors in any nesting of lists, tuples and dicts, by position or by keyword, with constants among
them. A graph takes the tensors alone, in order, each by a flat name: that of the parameter of ``forward``, and for
nested ones the way to them, joined by ``_`` (``past_0_key``).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ShapesCollection
from torch.utils import _pytree as pytree

from modelpress.errors import ExportError, nearest
from modelpress.graph import names
from modelpress.graph.arguments import DTYPES
from modelpress.graph.model import BATCH, TensorSpec

ExampleInputs = Tensor | Sequence[Any] | Mapping[str, Any]
Dynamic = Mapping[str, Mapping[int, str]]
SYMBOL = re.compile(r"[a-z][a-z0-9_]{0,39}")
STORED_BATCH = 2
"""The example's batch is not the model's: equal models give equal bytes."""


@dataclass(frozen=True)
class Inputs:
    """A module's example arguments.

    ``leaves`` are the flat arguments, constants among them, and ``structure`` how ``(args, kwargs)`` is made of them;
    ``places`` says where among them each named tensor is, in the graph's order; ``dynamic`` has a symbol for each
    dynamic dimension by name.
    """

    leaves: tuple[Any, ...]
    structure: pytree.TreeSpec
    places: Mapping[str, int]
    dynamic: Dynamic

    @property
    def tensors(self) -> dict[str, Tensor]:
        return {name: self.leaves[i] for name, i in self.places.items()}

    @property
    def sizes(self) -> dict[str, int]:
        """Size of each symbol in these examples."""
        return {s: self.tensors[name].shape[d] for name, dims in self.dynamic.items() for d, s in dims.items()}

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """``args, kwargs`` of a call; tensors are copies, so that a module may change them in place."""
        copies = [x.clone() if isinstance(x, Tensor) else x for x in self.leaves]
        args, kwargs = pytree.tree_unflatten(copies, self.structure)
        return args, kwargs

    def flat(self) -> tuple[Tensor, ...]:
        """Copies of the tensors, as the graph takes them."""
        return tuple(x.clone() for x in self.tensors.values())

    def specs(self) -> tuple[TensorSpec, ...]:
        made = []
        for name, tensor in self.tensors.items():
            symbols = self.dynamic.get(name, {})
            shape = tuple(symbols.get(d, n) for d, n in enumerate(tensor.shape))
            made.append(TensorSpec(name, str(tensor.dtype).removeprefix("torch."), shape))
        return tuple(made)

    def stored_sizes(self) -> dict[str, int]:
        """`Model.sizes`: as in the examples, but the batch is always `STORED_BATCH`."""
        return {symbol: STORED_BATCH if symbol == BATCH else n for symbol, n in self.sizes.items()}

    def resized(self, **sizes: int) -> Inputs:
        """These examples at other sizes of some symbols: what they hold is repeated, or cut off at the end."""
        leaves = list(self.leaves)
        for name, dims in self.dynamic.items():
            for dim, symbol in dims.items():
                if symbol in sizes:
                    leaves[self.places[name]] = _resize(leaves[self.places[name]], dim, sizes[symbol])
        return replace(self, leaves=tuple(leaves))

    def shapes(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ShapesCollection:
        """Which dimensions of the tensors in ``args`` and ``kwargs`` (of `arguments`) ``torch.export`` leaves open."""
        shapes = ShapesCollection()  # type: ignore[no-untyped-call]
        flat = pytree.tree_leaves((args, kwargs))
        for name, dims in self.dynamic.items():
            if dims:
                shapes[flat[self.places[name]]] = dict.fromkeys(dims, Dim.DYNAMIC)
        return shapes


def read_inputs(net: nn.Module, example_inputs: ExampleInputs, dynamic: Dynamic | None = None) -> Inputs:
    """Flatten and check example inputs; a dynamic dimension of size 1 is doubled, since an export would fix it.

    Args:
        net: what is called.
        example_inputs: one tensor, a sequence (by position) or a mapping (by keyword).
        dynamic: symbol of each dynamic dimension by flat name. By default dimension 0 is ``batch`` in every input
            whose first dimension is as long as the first input's. Equal symbols mean equal sizes.

    Raises:
        ExportError: no tensor among them, one of a dtype that the format lacks, arguments that ``forward`` does not
            take, or a ``dynamic`` that does not fit.
    """
    args, kwargs = _arguments(net, example_inputs)
    flat, structure = pytree.tree_flatten((args, kwargs))
    if not any(isinstance(leaf, Tensor) for leaf in flat):
        raise ExportError("example_inputs is empty: no tensor among them; give what forward takes, batch first")
    paths = _flat_names(net, args, kwargs)
    places = {name: i for i, (name, leaf) in enumerate(zip(paths, flat, strict=True)) if isinstance(leaf, Tensor)}
    inputs = Inputs(tuple(flat), structure, places, {})
    _check_tensors(inputs)
    inputs = replace(inputs, dynamic=_default_dynamic(inputs) if dynamic is None else _checked_dynamic(inputs, dynamic))
    _check_sizes(inputs)
    return inputs.resized(**{symbol: 2 for symbol, size in inputs.sizes.items() if size == 1})


def _arguments(net: nn.Module, example_inputs: ExampleInputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(example_inputs, Tensor):
        return (example_inputs,), {}
    if isinstance(example_inputs, Mapping):
        order = list(inspect.signature(net.forward).parameters)
        known = [name for name in order if name in example_inputs]
        return (), {name: example_inputs[name] for name in [*known, *(n for n in example_inputs if n not in order)]}
    if isinstance(example_inputs, Sequence) and not isinstance(example_inputs, str):
        return tuple(example_inputs), {}
    raise ExportError(
        f"example_inputs is a {type(example_inputs).__name__}; give a tensor, a sequence of what forward takes by "
        "position, or a mapping of what it takes by keyword"
    )


def _flat_names(net: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
    """A unique name that may stand in a graph for every leaf, in order."""
    try:
        bound = inspect.signature(net.forward).bind(*args, **kwargs).arguments
    except TypeError as e:
        raise ExportError(f"{type(net).__name__}.forward does not take these example inputs: {e}") from e
    kinds = inspect.signature(net.forward).parameters
    positional: list[str] = []
    for name in bound:
        if kinds[name].kind is inspect.Parameter.VAR_POSITIONAL:
            positional += [f"{name}_{i}" for i in range(len(bound[name]))]
        elif kinds[name].kind is not inspect.Parameter.VAR_KEYWORD:
            positional.append(name)
    found: list[str] = []
    for path, _ in pytree.tree_flatten_with_path((args, kwargs))[0]:
        side, first, *rest = path
        head = positional[first.idx] if side == pytree.SequenceKey(0) else str(first.key)  # type: ignore[attr-defined]
        found.append(_unique("_".join([head, *(_step(key) for key in rest)]), found))
    return found


def _step(key: pytree.KeyEntry) -> str:
    return str(next(getattr(key, a) for a in ("idx", "key", "name") if hasattr(key, a)))


def _unique(name: str, taken: Iterable[str]) -> str:
    letters = re.sub(r"\W", "_", name, flags=re.ASCII)
    safe = letters if names.is_input_name(letters) else f"input_{letters}".rstrip("_")
    free, k = safe, 1
    while free in taken:
        free, k = f"{safe}_{k}", k + 1
    return free


def _check_tensors(inputs: Inputs) -> None:
    for name, tensor in inputs.tensors.items():
        if tensor.dtype not in DTYPES.values() or tensor.is_sparse:
            raise ExportError(
                f"the input '{name}' is {tensor.dtype}, {tensor.layout}; the format has {', '.join(DTYPES)}"
            )


def _default_dynamic(inputs: Inputs) -> Dynamic:
    first_name, first = next(iter(inputs.tensors.items()))
    if first.ndim == 0:
        raise ExportError(f"the input '{first_name}' has shape (); the first dimension is the batch")
    return {name: {0: BATCH} for name, x in inputs.tensors.items() if x.ndim and x.shape[0] == first.shape[0]}


def _checked_dynamic(inputs: Inputs, dynamic: Dynamic) -> Dynamic:
    tensors = inputs.tensors
    for name, dims in dynamic.items():
        if name not in tensors:
            raise ExportError(f"dynamic names no input '{name}': {nearest(name, tensors)}")
        for dim, symbol in dims.items():
            if not 0 <= dim < tensors[name].ndim:
                raise ExportError(f"dynamic['{name}'][{dim}]: the input has shape {tuple(tensors[name].shape)}")
            if not SYMBOL.fullmatch(symbol):
                raise ExportError(f"dynamic['{name}'][{dim}]: '{symbol}' is no symbol; one is like 'batch' or 'length'")
    return {name: dict(dynamic.get(name, {})) for name in tensors}


def _check_sizes(inputs: Inputs) -> None:
    seen: dict[str, tuple[str, int]] = {}
    for name, dims in inputs.dynamic.items():
        for dim, symbol in dims.items():
            size = inputs.tensors[name].shape[dim]
            if size == 0:
                raise ExportError(f"the input '{name}' is empty along dimension {dim}, '{symbol}'")
            other, known = seen.setdefault(symbol, (name, size))
            if known != size:
                raise ExportError(
                    f"'{symbol}' is {known} in '{other}' and {size} in '{name}': one symbol is one size, so make the "
                    "examples equal there or name two symbols with dynamic={...}"
                )


def _resize(tensor: Tensor, dim: int, size: int) -> Tensor:
    times = -(-size // tensor.shape[dim])
    return torch.cat([tensor] * times, dim).narrow(dim, 0, size).contiguous()
