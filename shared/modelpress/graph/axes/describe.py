"""Before anything is removed: what runs along each axis, and what a removal would change."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain

from torch import Tensor, fx, nn

from modelpress.constraints.stack import is_parameter, shape_of, stored_of, tensors_of
from modelpress.graph.axes.axis import Axes, Axis
from modelpress.graph.axes.call import tensors
from modelpress.graph.axes.expr import Atom, Dims, atoms
from modelpress.graph.axes.indices import copies
from modelpress.graph.axes.products import products
from modelpress.graph.axes.remove import removed
from modelpress.graph.costs import LayerCost, costs, row_path, totals
from modelpress.graph.model import Model


@dataclass(frozen=True)
class Hanging:
    """What runs along one axis: removing a share of its indices removes that share of these figures.

    (A little less where a tensor has the axis twice, as a layer between two equal widths has.) ``layers`` are the
    `LayerCost.path` of what has a tensor on it or computes along it, in graph order. Figures are for one sample.
    """

    axis: Axis
    layers: tuple[str, ...]
    parameters: int
    weight_bytes: int
    macs: int
    activation_bytes: int


@dataclass(frozen=True)
class Change:
    """A dimension of a parameter or buffer, before and after; of tied ones the first is named."""

    tensor: str
    dim: int
    before: int
    after: int


@dataclass(frozen=True)
class DryRun:
    """What a removal would change; ``before`` and ``after`` are the model's totals for one sample."""

    changes: tuple[Change, ...]
    before: LayerCost
    after: LayerCost


def dry_run(model: Model, axes: Axes, keep: Mapping[str, Tensor], **sizes: int) -> DryRun:
    """What `remove` would do with the same arguments; no weight is read or copied.

    ``sizes`` override the symbols of the inputs' shapes, as for `modelpress.graph.costs.costs`.

    Raises:
        NotFoundError: an axis that the model does not have.
        InputError: a choice of indices that `remove` refuses.
    """
    smaller = removed(model.with_(module=_on_meta(model.module)), axes, keep)
    left = {name: shape_of(*owner) for name, owner in tensors_of(smaller.module).items()}
    changes = [
        Change(name, i, dim.size, left[name][i])
        for name, dims in once(axes)
        for i, dim in enumerate(dims)
        if dim.size != left[name][i]
    ]
    return DryRun(tuple(changes), totals(costs(model, **sizes)), totals(costs(smaller, **sizes)))


def _on_meta(module: fx.GraphModule) -> fx.GraphModule:
    """A copy whose tensors have shapes only; what was shared stays shared."""
    memo: dict[int, object] = {}
    for tensor in chain(module.parameters(), module.buffers()):
        bare = tensor.detach().to("meta")
        memo[id(tensor)] = nn.Parameter(bare, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else bare
    return copy.deepcopy(module, memo)


def hanging(model: Model, axes: Axes, **sizes: int) -> list[Hanging]:
    """What runs along each prunable axis, in graph order; no value is computed."""
    rows = _rows(model, axes, costs(model, **sizes))
    return [_along(axis, axes.atom(axis), rows) for axis in axes.prunable()]


@dataclass
class _Amounts:
    """Amounts of something, each with the dimensions that it is spread over."""

    entries: list[tuple[float, Dims]] = field(default_factory=list)

    def share(self, atom: Atom) -> float:
        """How much of all of it lies along ``atom``."""
        total = sum(amount for amount, _ in self.entries)
        return sum(amount * share_along(dims, atom) for amount, dims in self.entries) / total if total else 0.0


@dataclass
class _Row:
    """A row of the costs, and how its figures are spread."""

    cost: LayerCost
    parameters: _Amounts = field(default_factory=_Amounts)
    stored: _Amounts = field(default_factory=_Amounts)
    multiplied: _Amounts = field(default_factory=_Amounts)
    written: _Amounts = field(default_factory=_Amounts)


def _along(axis: Axis, atom: Atom, rows: list[_Row]) -> Hanging:
    layers: list[str] = []
    figures = [0.0] * 4
    for row in rows:
        spread = (row.parameters, row.stored, row.multiplied, row.written)
        shares = [amounts.share(atom) for amounts in spread]
        if any(shares):
            layers.append(row.cost.path)
            whole = (row.cost.parameters, row.cost.weight_bytes, row.cost.macs, row.cost.activation_bytes)
            figures = [figure + share * n for figure, share, n in zip(figures, shares, whole, strict=True)]
    return Hanging(axis, tuple(layers), *(round(figure) for figure in figures))


def _rows(model: Model, axes: Axes, found: list[LayerCost]) -> list[_Row]:
    rows = {cost.path: _Row(cost) for cost in found}
    values = {node: axes.values[node.name] for node in model.module.graph.nodes}
    for node, value in values.items():
        row = rows.get(row_path(node))
        if row is not None:
            leaf = model.module.get_submodule(str(node.target)) if node.op == "call_module" else None
            row.multiplied.entries += [(box_size(p), p) for p in products(node, leaf, values, axes.parameters)]
            row.written.entries += [(box_size(dims), dims) for dims in tensors(value) if node.op != "get_attr"]
    owners = tensors_of(model.module)
    for name, dims in once(axes):
        row = rows.get(name) or rows.get(name.rpartition(".")[0])
        if row is not None:
            row.stored.entries.append((sum(t.nbytes for t in stored_of(*owners[name])), dims))
            row.parameters.entries += [(box_size(dims), dims)] if is_parameter(*owners[name]) else []
    return list(rows.values())


def once(axes: Axes) -> Iterable[tuple[str, Dims]]:
    """Every tensor, those that are tied once."""
    found: dict[int, tuple[str, Dims]] = {}
    for name, dims in axes.parameters.items():
        found.setdefault(id(dims), (name, dims))
    return found.values()


def box_size(dims: Dims) -> int:
    return math.prod(dim.size for dim in dims)


def share_along(dims: Dims, atom: Atom) -> float:
    """The part of a box of ``dims`` in which at least one index is of ``atom``."""
    shares = (copies(dim, atom) * atom.size / dim.size for dim in dims if atom in atoms(dim))
    return 1 - math.prod(1 - share for share in shares)


def prunable_share(model: Model, axes: Axes) -> float:
    """Share of the parameters that have a dimension which can shrink, tied ones once; 0 for a model without any."""
    free = {axes.atom(axis) for axis in axes.prunable()}
    owners = tensors_of(model.module)
    sized = [(box_size(dims), free & atoms_of(dims)) for name, dims in once(axes) if is_parameter(*owners[name])]
    total = sum(size for size, _ in sized)
    return sum(size for size, can in sized if can) / total if total else 0.0


def atoms_of(dims: Dims) -> set[Atom]:
    """The index spaces of a tensor's dimensions."""
    return {atom for dim in dims for atom in atoms(dim)}
