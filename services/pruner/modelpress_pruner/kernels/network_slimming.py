"""Tensor code of methods/network_slimming.py.

Shapes (n = channels of an axis): scale [c] float, of a batch norm    scores [n] float64, >= 0, 1 on average.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from modelpress.data.dataset import Dataset
from modelpress.graph.axes import Axes, Axis, analyse, group_scores
from modelpress.graph.model import Model
from modelpress.job import Job
from modelpress.training.evaluate import top1
from modelpress.training.loop import FitSettings, fit
from modelpress.training.objectives import CrossEntropy, ScalePenalty
from modelpress_pruner.kernels.channels import best, global_counts, nothing_prunable, remove_channels
from modelpress_pruner.methods.network_slimming import INFO, Params


def run(*, model: Model, data: Dataset, params: Params, job: Job) -> dict[str, Model]:
    """Train a copy of ``model`` under the penalty and remove the channels with the smallest scales.

    Raises:
        InputError: no free axis has a batch-norm scale, or nothing would be removed.
    """
    axes = analyse(model)
    tied = scales_by_axis(model, axes)
    if not tied:
        raise nothing_prunable(axes, "a batch-norm scale")
    model = model.with_(module=copy.deepcopy(model.module))
    names = tuple(dict.fromkeys(name for scales in tied.values() for name in scales))
    settings = FitSettings(params.epochs, params.learning_rate, params.batch_size)
    fit(model.module, data, ScalePenalty(CrossEntropy(), names, params.l1), settings, job)
    scales = {name: model.module.get_parameter(name) for name in names}
    scores = {name: relative_scores(axes, axes.axis(name), scales) for name in tied}
    if params.spare_first and len(scores) > 1:
        del scores[next(iter(scores))]
    counts = global_counts(scores, params.sparsity, params.multiple, params.floor)
    small = remove_channels(model, axes, best(scores, counts), INFO.name, job)
    job.metric("top1", top1(small.module, data, "validation"))
    return {"model": small}


def scales_by_axis(model: Model, axes: Axes) -> dict[str, tuple[str, ...]]:
    """Name of each free axis that batch norms run along -> the names of their scales."""
    scales = {
        f"{path}.weight" for path, leaf in model.leaves() if isinstance(leaf, _BatchNorm) and leaf.weight is not None
    }
    found = {
        axis.name: tuple(where.parameter for where in axis.slices if where.parameter in scales)
        for axis in axes.prunable()
    }
    return {name: names for name, names in found.items() if names}


def relative_scores(axes: Axes, axis: Axis, scales: Mapping[str, Tensor]) -> Tensor:
    """Scores [axis.size]: |scale| over its layer's mean, averaged over all the layers that the axis ties together."""
    magnitudes = {name: relative(scale) for name, scale in scales.items()}
    copies = sum(where.copies for where in axis.slices if where.parameter in scales)
    return group_scores(axes, axis, magnitudes) / copies


def relative(scale: Tensor) -> Tensor:
    """|scale| [c] over the layer's mean, float64; zeros where all of the layer is zero."""
    magnitude = scale.detach().abs().double()
    return magnitude / magnitude.mean().clamp_min(torch.finfo(torch.float64).tiny)
