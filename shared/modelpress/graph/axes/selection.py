"""From scores of single parameters to what a group is worth, and how many of them stay."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from modelpress.errors import InputError
from modelpress.graph.axes.axis import Axes, Axis


def group_scores(axes: Axes, axis: Axis, scores: Mapping[str, Tensor]) -> Tensor:
    """Score of each index of ``axis``: the sum of ``scores`` over every parameter slice tied to it.

    Args:
        scores: parameter name -> a score for each of its elements, of the parameter's shape (``|w|``, ``|w * g|``).
            Tied parameters and buffers that have none count nothing.

    Returns:
        [axis.size] float64, on the CPU.

    Raises:
        InputError: no tied parameter has a score.
    """
    scored = [where for where in axis.slices if where.parameter in scores]
    if not scored:
        tied = ", ".join(dict.fromkeys(where.parameter for where in axis.slices))
        raise InputError(f"no score is given for any parameter tied to axis '{axis.name}': {tied}")
    worth = torch.zeros(axis.size, dtype=torch.float64)
    for where in scored:
        score = scores[where.parameter].detach()
        others = [dim for dim in range(score.ndim) if dim != where.dim]
        along = score.sum(others, dtype=torch.float64) if others else score.double()
        worth += along.cpu()[axes.positions(axis, where)].sum(1)
    return worth


def keep_best(scores: Tensor, count: int) -> Tensor:
    """The ``count`` indices of the highest scores, ascending; of equal scores the first. int64 [count]."""
    return scores.argsort(descending=True, stable=True)[:count].sort().values


def keep_count(size: int, share: float, multiple: int = 1) -> int:
    """How many of ``size`` indices stay when a ``share`` of them should.

    The nearest multiple of ``multiple`` (halves up), at least one multiple and at most ``size``.

    >>> keep_count(64, 0.3, 8), keep_count(64, 0.01, 8), keep_count(6, 0.5, 8), keep_count(10, 0.25)
    (16, 8, 6, 3)

    Raises:
        InputError: a share outside [0, 1], or a multiple below 1.
    """
    if not 0 <= share <= 1:
        raise InputError(f"the share that stays is {share}; it must lie between 0 and 1")
    if multiple < 1:
        raise InputError(f"the multiple is {multiple}; it must be at least 1")
    nearest = int(size * share / multiple + 0.5) * multiple
    return min(size, max(multiple, nearest))
