"""Axes: which parameter dimensions of a model move together, and removing indices of them everywhere at once.

In use:

    axes = analyse(model)
    dearest = max(hanging(model, axes), key=lambda found: found.macs).axis.name
    scores = {name: weight.abs() for name, weight in parameters_of(model.module).items()}
    keep = {a.name: keep_best(group_scores(axes, a, scores), keep_count(a.size, 0.5, 8)) for a in axes.prunable()}
    print(dry_run(model, axes, keep).after.macs)
    smaller = remove(model, axes, keep)
"""

from modelpress.graph.axes.analysis import analyse
from modelpress.graph.axes.axis import Axes, Axis, Slice
from modelpress.graph.axes.describe import Change, DryRun, Hanging, dry_run, hanging
from modelpress.graph.axes.remove import remove
from modelpress.graph.axes.selection import group_scores, keep_best, keep_count
from modelpress.graph.axes.slim import reset, slim

__all__ = [
    "Axes", "Axis", "Change", "DryRun", "Hanging", "Slice", "analyse", "dry_run", "group_scores", "hanging",
    "keep_best", "keep_count", "remove", "reset", "slim",
]  # fmt: skip
