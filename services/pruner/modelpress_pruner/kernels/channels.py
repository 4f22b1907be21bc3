"""What structured methods share: how many channels stay and which, the removal, and the baseline of drawing lots.

Shapes (n = channels of an axis): scores [n] float, larger = more important    kept indices [m] int64, ascending.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from modelpress.errors import InputError
from modelpress.graph.axes import Axes, keep_best, keep_count, remove
from modelpress.graph.model import Model
from modelpress.job import Job

Scores = Mapping[str, Tensor]
"""Scores [n] of each axis by its name."""


def global_counts(scores: Scores, sparsity: float, multiple: int, floor: float) -> dict[str, int]:
    """How many channels of each axis stay when the ``sparsity`` share with the lowest scores *of all axes* goes.

    At least the share ``floor`` of each axis stays. Counts are rounded to ``multiple`` as `keep_count` does.
    """
    pooled = torch.cat(list(scores.values()))
    stays = torch.zeros(len(pooled))
    stays[keep_best(pooled, round(len(pooled) * (1 - sparsity)))] = 1
    shares = torch.split(stays, [len(axis) for axis in scores.values()])
    return {
        name: keep_count(len(axis), max(share.mean().item(), floor), multiple)
        for (name, axis), share in zip(scores.items(), shares, strict=True)
    }


def local_counts(sizes: Mapping[str, int], sparsity: float, multiple: int) -> dict[str, int]:
    """How many channels of each axis stay when *each axis* loses the ``sparsity`` share."""
    return {name: keep_count(size, 1 - sparsity, multiple) for name, size in sizes.items()}


def best(scores: Scores, counts: Mapping[str, int]) -> dict[str, Tensor]:
    """The ``counts`` channels of each axis with the highest scores."""
    return {name: keep_best(axis, counts[name]) for name, axis in scores.items()}


def random_choice(sizes: Mapping[str, int], counts: Mapping[str, int], seed: int) -> dict[str, Tensor]:
    """``counts`` channels of each axis drawn by lot: the baseline that every score has to beat."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randperm(size, generator=generator)[: counts[name]].sort().values for name, size in sizes.items()
    }


def remove_channels(model: Model, axes: Axes, keep: Mapping[str, Tensor], method: str, job: Job) -> Model:
    """``model`` without the channels that ``keep`` leaves out; reports the parameters left and the share removed.

    Raises:
        InputError: nothing would be removed.
    """
    sizes = {name: axes.axis(name).size for name in keep}
    removed = sum(sizes.values()) - sum(len(indices) for indices in keep.values())
    if removed == 0:
        narrow = ", ".join(f"{name} ({size})" for name, size in sizes.items())
        raise InputError(
            f"with: {method} would remove nothing from {narrow}; ask for more 'sparsity' or a smaller 'multiple'"
        )
    for name, indices in keep.items():
        job.log(f"{name}: {sizes[name]} -> {len(indices)} channels")
    small = remove(model, axes, keep)
    share = removed / sum(sizes.values())
    job.metric("channels_removed_share", share)
    job.metric("parameters", sum(parameter.numel() for parameter in small.module.parameters()))
    done = {"method": method, "channels_removed_share": share}
    return small.with_(facts={**small.facts, "pruned": [*small.facts.get("pruned", []), done]})


def nothing_prunable(axes: Axes, wanted: str) -> InputError:
    """The error for a model without an axis that has ``wanted``, with what froze its axes."""
    frozen = "; ".join(f"{name} by {why}" for name, why in axes.frozen().items()) or "none"
    return InputError(f"inputs.model: no channels can be removed: no free axis has {wanted}. Frozen axes: {frozen}")
