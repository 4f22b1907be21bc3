"""How the tests tell whether a removal was right: zero the parameters first, then nothing may change."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from modelpress.graph.axes import Axes, Axis, analyse, remove
from modelpress.graph.model import Model


def silenced(source: Model, axes: Axes, chosen: list[Axis], seed: int = 0) -> tuple[Model, dict[str, Tensor]]:
    """A copy with the parameters of a random third of each axis at zero, and the indices that are not."""
    generator = torch.Generator().manual_seed(seed)
    quiet = source.with_(module=copy.deepcopy(source.module))
    parameters = dict(quiet.module.named_parameters())
    keep = {}
    for axis in chosen:
        order = torch.randperm(axis.size, generator=generator)
        gone, keep[axis.name] = order[: max(1, axis.size // 3)], order[max(1, axis.size // 3) :]
        for where in axis.slices:
            if where.parameter in parameters:
                columns = axes.positions(axis, where)[gone].flatten()
                parameters[where.parameter].data.index_fill_(where.dim, columns, 0)
    return quiet, keep


def difference(left: Model, right: Model) -> float:
    """Largest difference of the outputs, as a share of their scale."""
    inputs = left.examples(batch=3)
    with torch.no_grad():
        a, b = left.module(*inputs), right.module(*inputs)
    return float((a - b).abs().max() / a.abs().max())


def exactness(source: Model) -> dict[str, tuple[int, str]]:
    """Size of each prunable axis and what makes it inexact, by name."""
    return {axis.name: (axis.size, axis.inexact_because) for axis in analyse(source).prunable()}


def check_each_axis(source: Model) -> None:
    """Zeroed and removed, an axis changes nothing, exactly if it says so."""
    axes = analyse(source)
    for axis in axes.prunable():
        quiet, keep = silenced(source, axes, [axis])
        changed = difference(quiet, remove(quiet, axes, keep))
        assert (changed < 1e-5) == axis.exact, f"{axis.name}: {changed}"
