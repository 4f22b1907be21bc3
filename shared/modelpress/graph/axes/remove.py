"""Removing indices of axes everywhere at once: parameters, statistics, leaf attributes and sizes in the graph."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, fx, nn

from modelpress.errors import InputError
from modelpress.graph.axes.axis import Axes
from modelpress.graph.axes.expr import Atom, Dims
from modelpress.graph.axes.indices import Keep, kept
from modelpress.graph.axes.resize import Resizer
from modelpress.graph.axes.resize_leaves import resize_leaf
from modelpress.graph.axes.resizers import resize_operator
from modelpress.graph.model import Model


def remove(model: Model, axes: Axes, keep: Mapping[str, Tensor]) -> Model:
    """A new model in which only the indices ``keep`` of the named axes are left; ``model`` is not touched.

    Args:
        axes: what `analyse` found for this very model.
        keep: axis name -> indices that stay, int64 [n], 1 <= n <= size, in any order (theirs in the model is kept).

    Raises:
        NotFoundError: an axis that the model does not have.
        InputError: a frozen axis; no index left; an index twice or out of range; axes of another model.
    """
    _check_model(model, axes)
    chosen: dict[Atom, Tensor] = {}
    for name, indices in keep.items():
        axis = axes.axis(name)
        chosen[axes.atom(axis)] = _checked(indices, name, axis.size)
    module = _copied(model.module)
    _slice_tensors(module, axes.parameters, chosen)
    _resize(module, model.module.graph, Resizer(axes, chosen))
    return model.with_(module=module)


def _checked(indices: Tensor, name: str, size: int) -> Tensor:
    """The indices to keep, ascending."""
    if indices.ndim != 1 or indices.dtype != torch.long:
        raise InputError(f"axis '{name}': indices are {indices.dtype} {list(indices.shape)}, not one list of int64")
    if not len(indices):
        raise InputError(f"axis '{name}': nothing would be left; keep at least one of its {size} indices")
    ordered = indices.detach().cpu().sort().values
    if ordered[0] < 0 or ordered[-1] >= size:
        raise InputError(
            f"axis '{name}': indices reach from {ordered[0]} to {ordered[-1]}, not within 0 and {size - 1}"
        )
    if bool((ordered[1:] == ordered[:-1]).any()):
        raise InputError(f"axis '{name}': an index is named twice")
    return ordered


def _check_model(model: Model, axes: Axes) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in _tensors(model.module).items()}
    expected = {name: tuple(dim.size for dim in dims) for name, dims in axes.parameters.items()}
    if shapes != expected:
        odd = next(name for name in {**expected, **shapes} if shapes.get(name) != expected.get(name))
        raise InputError(
            f"these axes are another model's: '{odd}' is {shapes.get(odd)} here and {expected.get(odd)} there; "
            "analyse this model"
        )


def _copied(module: fx.GraphModule) -> fx.GraphModule:
    """A copy of all but the tensors, which are the original's until they are replaced by slices."""
    return copy.deepcopy(module, {id(tensor): tensor for tensor in _tensors(module).values()})


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers under all their names."""
    return {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }


def _slice_tensors(module: nn.Module, parameters: Mapping[str, Dims], keep: Keep) -> None:
    """Replace what is tied to ``keep``; names that shared a tensor go on sharing one."""
    done: dict[int, Tensor] = {}
    for name, tensor in _tensors(module).items():
        if id(tensor) not in done:
            done[id(tensor)] = _sliced(tensor, parameters[name], keep)
        owner, _, leaf = name.rpartition(".")
        setattr(module.get_submodule(owner), leaf, done[id(tensor)])


def _sliced(tensor: Tensor, dims: Dims, keep: Keep) -> Tensor:
    """A tensor of its own with the positions that stay."""
    data = tensor.detach()
    for i, dim in enumerate(dims):
        positions = kept(dim, keep)
        if len(positions) != dim.size:
            data = data.index_select(i, positions.to(data.device))
    data = data.clone() if data.data_ptr() == tensor.data_ptr() else data
    return nn.Parameter(data, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else data


def _resize(module: fx.GraphModule, original: fx.Graph, resizer: Resizer) -> None:
    """Leaves once each, operators node by node; a copied graph has its nodes in the same order."""
    resized: set[str] = set()
    for node, old in zip(module.graph.nodes, original.nodes, strict=True):
        if node.name != old.name:
            raise RuntimeError(f"the copied graph calls node {old.name} {node.name}")
        if node.op == "call_module" and str(node.target) not in resized:
            resized.add(str(node.target))
            resize_leaf(module.get_submodule(str(node.target)), node, resizer)
        elif node.op == "call_function":
            resize_operator(node, resizer)
    module.graph.lint()
    module.recompile()
