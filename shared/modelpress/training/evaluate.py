"""How good a module is on a split."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from modelpress.data.dataset import Dataset, SplitName
from modelpress.training.layout import channels_last

BATCH_SIZE = 500


def top1(module: nn.Module, data: Dataset, split: SplitName) -> float:
    """Percent of the samples of ``split`` whose largest logit is the target's; the module's mode is left as it was.

    Raises:
        DataError: the dataset has no such split.
    """
    was_training = module.training
    module.eval()
    try:
        with torch.inference_mode():
            hits = [_hits(module, inputs, targets) for inputs, targets in data.batches(split, BATCH_SIZE)]
    finally:
        module.train(was_training)
    return 100.0 * sum(hits) / len(data.split(split))


def _hits(module: nn.Module, inputs: Tensor, targets: Tensor) -> int:
    return int((module(channels_last(inputs)).argmax(dim=1) == targets).sum())
