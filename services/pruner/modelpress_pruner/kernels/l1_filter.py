"""Tensor code of methods/l1_filter.py.

Shapes (o = filters of a layer, n = channels of an axis): weight [o, i, ...] float    norms [o] float64
scores [n] float64, >= 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from modelpress.graph.axes import Axes, Axis, Slice, analyse
from modelpress.graph.model import Model
from modelpress.job import Job
from modelpress_pruner.kernels.channels import best, local_counts, nothing_prunable, remove_channels
from modelpress_pruner.methods.l1_filter import INFO, Params

FILTERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Leaves whose weight has one filter an output channel, along dimension 0."""


def run(*, model: Model, params: Params, job: Job) -> dict[str, Model]:
    """``model`` without the filters of the smallest norm.

    Raises:
        InputError: no free axis is made by filters, or nothing would be removed.
    """
    axes = analyse(model)
    norms = {
        f"{path}.weight": relative_norms(leaf.weight) for path, leaf in model.leaves() if isinstance(leaf, FILTERS)
    }
    made = [axis for axis in axes.prunable() if _producers(axis, norms)]
    if not made:
        raise nothing_prunable(axes, "a filter that makes it")
    scores = {axis.name: producer_scores(axes, axis, norms) for axis in made}
    counts = local_counts({axis.name: axis.size for axis in made}, params.sparsity, params.multiple)
    return {"model": remove_channels(model, axes, best(scores, counts), INFO.name, job)}


def relative_norms(weight: Tensor) -> Tensor:
    """L1 norm of each filter [o], over the layer's mean norm; zeros where all of the layer is zero."""
    norms = weight.detach().abs().flatten(1).sum(1, dtype=torch.float64)
    return norms / norms.mean().clamp_min(torch.finfo(torch.float64).tiny)


def producer_scores(axes: Axes, axis: Axis, norms: Mapping[str, Tensor]) -> Tensor:
    """Scores [axis.size]: the norms of all the filters that make a channel, added up."""
    parts = [norms[where.parameter][axes.positions(axis, where)].sum(1) for where in _producers(axis, norms)]
    return torch.stack(parts).sum(0)


def _producers(axis: Axis, norms: Mapping[str, Tensor]) -> list[Slice]:
    return [where for where in axis.slices if where.dim == 0 and where.parameter in norms]
