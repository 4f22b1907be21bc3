"""What the axes promise of any network, as checks that tests, benchmarks and docs run alike.

Each check gets a `Structure` and returns the empty text where the promise holds, else what was wrong.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from modelpress.graph.axes import Axes, Axis, analyse, keep_count, remove
from modelpress.graph.model import Model
from modelpress.graph.serialise import load, save
from modelpress.testing.format import SIZES, Case, flat
from modelpress.testing.kept_only import kept_only

Check = Callable[["Structure"], str]
TOLERANCE = 1e-5
"""Of the output's scale: what removing zeroed indices of an exact axis may change, in float32."""


@dataclass
class Structure:
    """One network's axes, found once."""

    case: Case

    @classmethod
    def of(cls, name: str) -> Structure:
        return cls(Case.of(name))

    @property
    def model(self) -> Model:
        return self.case.model

    @cached_property
    def axes(self) -> Axes:
        return analyse(self.model)

    @cached_property
    def halved(self) -> Model:
        """A random half of every prunable axis."""
        return remove(self.model, self.axes, random_halves(self.axes))


def random_halves(axes: Axes, multiple: int = 1, seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        axis.name: torch.randperm(axis.size, generator=generator)[: keep_count(axis.size, 0.5, multiple)]
        for axis in axes.prunable()
    }


def half_of_every_width_runs(structure: Structure) -> str:
    """At several sizes, with outputs of the shapes that they had."""
    for sizes in SIZES:
        _, ordered = structure.case.inputs(**sizes)
        with torch.no_grad():
            before, after = (flat(m.module(*ordered)) for m in (structure.model, structure.halved))
        if [o.shape for o in before] != [o.shape for o in after]:
            return f"at {sizes}: outputs {[list(o.shape) for o in after]}, not {[list(o.shape) for o in before]}"
    counts = [sum(p.numel() for p in m.module.parameters()) for m in (structure.halved, structure.model)]
    return "" if counts[0] < counts[1] else "nothing was removed"


def half_of_every_width_trains(structure: Structure) -> str:
    """Every trainable parameter that had a gradient still has one."""
    _, ordered = structure.case.inputs()
    reached = []
    for model in (structure.model, structure.halved):
        module = copy.deepcopy(model.module).train()
        sum(o.square().mean() for o in flat(module(*ordered)) if o.requires_grad).backward()  # type: ignore[union-attr]
        reached.append({name for name, p in module.named_parameters() if p.grad is not None})
    return "" if reached[0] == reached[1] else f"no gradient reaches {sorted(reached[0] ^ reached[1])[:3]}"


def half_of_every_width_is_saved_and_exported(structure: Structure) -> str:
    """It is a model like any other: loads to the same outputs, and `torch.export` takes it."""
    files = save(structure.halved)
    loaded = load(files.graph_json, files.tensors)
    _, ordered = structure.case.inputs()
    with torch.no_grad():
        pairs = zip(flat(structure.halved.module(*ordered)), flat(loaded.module(*ordered)), strict=True)
    if not all(torch.equal(a, b) for a, b in pairs):
        return "loading gives other outputs"
    torch.export.export(loaded.module, tuple(ordered))
    return ""


def half_of_every_width_is_analysed_again(structure: Structure) -> str:
    """The smaller graph has the same axes, at their new sizes (those of one index are none any more)."""
    wanted = {a.name: keep_count(a.size, 0.5) for a in structure.axes.prunable()}
    found = {a.name: a.size for a in analyse(structure.halved).prunable()}
    odd = {n: (found.get(n), size) for n, size in wanted.items() if size > 1 and found.get(n) != size}
    return f"{next(iter(odd.items()))}" if odd else ""


def exact_axes_are_exact(structure: Structure) -> str:
    """Parameters of removed indices at zero first, then removed: the output stays, on axes that say they are exact."""
    change = largest_change(structure, [a for a in structure.axes.prunable() if a.exact])
    return "" if change <= TOLERANCE else f"the output changes by {change:.2g} of its scale"


def inexact_axes_equal_the_reference(structure: Structure) -> str:
    """All axes at once: the smaller graph gives what `kept_only` says, norms and means being over what stays."""
    axes = structure.axes
    quiet, keep = silenced(structure.model, axes, axes.prunable())
    _, ordered = structure.case.inputs(batch=3)
    with torch.no_grad():
        change = _difference(kept_only(quiet, axes, keep, ordered), remove(quiet, axes, keep).module(*ordered))
    return "" if change <= TOLERANCE else f"the output differs by {change:.2g} of its scale"


def largest_change(structure: Structure, chosen: Sequence[Axis]) -> float:
    """Share of the output's scale by which removing zeroed indices of ``chosen`` axes, all at once, changes it."""
    if not chosen:
        return 0.0
    quiet, keep = silenced(structure.model, structure.axes, chosen)
    small = remove(quiet, structure.axes, keep)
    _, ordered = structure.case.inputs(batch=3)
    with torch.no_grad():
        return _difference(quiet.module(*ordered), small.module(*ordered))


def _difference(expected: Any, actual: Any) -> float:
    """The largest, over all outputs, as a share of each one's scale."""
    pairs = zip(flat(expected), flat(actual), strict=True)
    return max(float((a - b).abs().max() / a.abs().max().clamp(min=1e-12)) for a, b in pairs)


def silenced(
    source: Model, axes: Axes, chosen: Sequence[Axis], share: float = 1 / 3, seed: int = 0
) -> tuple[Model, dict[str, Tensor]]:
    """A copy with the parameters of a random ``share`` of each axis at zero, and the indices that are not."""
    generator = torch.Generator().manual_seed(seed)
    quiet = source.with_(module=copy.deepcopy(source.module))
    parameters = dict(quiet.module.named_parameters())
    keep = {}
    for axis in chosen:
        order = torch.randperm(axis.size, generator=generator)
        gone = max(1, int(axis.size * share))
        keep[axis.name] = order[gone:]
        for where in axis.slices:
            if where.parameter in parameters:
                columns = axes.positions(axis, where)[order[:gone]].flatten()
                parameters[where.parameter].data.index_fill_(where.dim, columns, 0)
    return quiet, keep


CHECKS: Mapping[str, Check] = {
    check.__name__.replace("_", " "): check
    for check in (
        half_of_every_width_runs, half_of_every_width_trains, half_of_every_width_is_saved_and_exported,
        half_of_every_width_is_analysed_again, exact_axes_are_exact, inexact_axes_equal_the_reference,
    )
}  # fmt: skip
