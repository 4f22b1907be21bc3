"""Axes: which parameter dimensions of a model move together, and removing indices of them everywhere at once.

In use:

    axes = analyse(model)
    scores = {name: weight.abs() for name, weight in parameters_of(model.module).items()}
    keep = {a.name: keep_best(group_scores(axes, a, scores), keep_count(a.size, 0.5, 8)) for a in axes.prunable()}
    smaller = remove(model, axes, keep)
"""

from modelpress.graph.axes.analysis import analyse
from modelpress.graph.axes.axis import Axes, Axis, Slice
from modelpress.graph.axes.remove import remove
from modelpress.graph.axes.selection import group_scores, keep_best, keep_count
from modelpress.graph.axes.slim import reset, slim

__all__ = ["Axes", "Axis", "Slice", "analyse", "group_scores", "keep_best", "keep_count", "remove", "reset", "slim"]
