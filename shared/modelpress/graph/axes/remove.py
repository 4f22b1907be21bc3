"""Removing indices of axes everywhere at once: parameters, statistics, leaf attributes and sizes in the graph."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import chain

import torch
from torch import Tensor, fx, nn

from modelpress.constraints.slicing import slice_tensor
from modelpress.constraints.stack import Tie, shape_of, tensors_of, tie_of
from modelpress.errors import InputError
from modelpress.graph.axes.axis import Axes
from modelpress.graph.axes.expr import Atom, Dims, Expr
from modelpress.graph.axes.indices import Keep, kept, kept_size
from modelpress.graph.axes.resize import Resizer
from modelpress.graph.axes.resize_leaves import resize_leaf
from modelpress.graph.axes.resizers import resize_operator
from modelpress.graph.axes.sizes import drop_unused
from modelpress.graph.forms import described
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
    return described(removed(model, axes, keep))


def removed(model: Model, axes: Axes, keep: Mapping[str, Tensor]) -> Model:
    """As `remove`, but form and facts stay what they are: no value of any tensor is read."""
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
    shapes = {name: shape_of(*owner) for name, owner in tensors_of(model.module).items()}
    expected = {name: tuple(dim.size for dim in dims) for name, dims in axes.parameters.items()}
    if shapes != expected:
        odd = next(name for name in {**expected, **shapes} if shapes.get(name) != expected.get(name))
        raise InputError(
            f"these axes are another model's: '{odd}' is {shapes.get(odd)} here and {expected.get(odd)} there; "
            "analyse this model"
        )


def _copied(module: fx.GraphModule) -> fx.GraphModule:
    """A copy of all but the tensors, which are the original's until they are replaced by slices."""
    return copy.deepcopy(module, {id(tensor): tensor for tensor in chain(module.parameters(), module.buffers())})


def _slice_tensors(module: nn.Module, parameters: Mapping[str, Dims], keep: Keep) -> None:
    """Replace every tensor by what stays of it, and slice the constraints on it; what was shared stays shared."""
    tied: dict[Tie, list[str]] = {}
    tensors = tensors_of(module)
    for name, owner in tensors.items():
        tied.setdefault(tie_of(*owner), []).append(name)
    for names in tied.values():
        dims = enumerate(parameters[names[0]])
        slice_tensor([tensors[name] for name in names], {i: kept(d, keep) for i, d in dims if _shrinks(d, keep)})


def _shrinks(dim: Expr, keep: Keep) -> bool:
    return kept_size(dim, keep) != dim.size


def _resize(module: fx.GraphModule, original: fx.Graph, resizer: Resizer) -> None:
    """Leaves once each, operators node by node; a copied graph has its nodes in the same order."""
    resized: set[str] = set()
    for node, old in zip(list(module.graph.nodes), original.nodes, strict=True):
        if node.name != old.name:
            raise RuntimeError(f"the copied graph calls node {old.name} {node.name}")
        if node.op == "call_module" and str(node.target) not in resized:
            resized.add(str(node.target))
            resize_leaf(module.get_submodule(str(node.target)), node, resizer)
        elif node.op == "call_function":
            resize_operator(node, resizer)
    drop_unused(module.graph)
    module.graph.lint()
    module.recompile()
