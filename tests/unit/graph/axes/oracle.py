"""How the tests tell whether a removal was right: zero the parameters first, then nothing may change."""

from __future__ import annotations

import torch

from modelpress.graph.axes import analyse, remove
from modelpress.graph.model import Model
from modelpress.testing.structure import silenced


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
