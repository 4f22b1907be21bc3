"""Network slimming: train under an L1 penalty on the scales of batch norms, then remove the channels it made small.

Paper: Liu et al., "Learning Efficient Convolutional Networks through Network Slimming", 2017, arXiv:1708.06519.
Differs from the paper: scales are ranked relative to their layer's mean, because a layer's scale can be traded against
the next layer's weights and a few epochs under the penalty do not undo that (raw ranks emptied one layer of a trained
ResNet and spared the next); channels that a residual sum ties together have one score, the mean of theirs, and go
together; no axis loses more than ``floor`` allows; counts are rounded to ``multiple``. The axis that the first layer
writes stays whole unless ``spare_first`` is off: everything after reads it, and a scale relative to its own layer
cannot tell.
Cost: ``epochs`` of training; the removal itself is milliseconds.
"""

from __future__ import annotations

from pydantic import Field

from modelpress.catalogue import MethodInfo, MethodParams


class Params(MethodParams):
    sparsity: float = Field(0.5, gt=0, lt=1, description="Share of the channels that may go that goes.")
    epochs: int = Field(1, ge=0, description="Epochs of training under the penalty; 0 ranks the model as it is.")
    l1: float = Field(1e-4, ge=0, description="Strength of the penalty on the scales.")
    learning_rate: float = Field(0.01, gt=0, description="Peak learning rate of the training.")
    batch_size: int = Field(128, ge=1, description="Samples per training step.")
    multiple: int = Field(8, ge=1, description="Channels left are a multiple of this where an axis is that wide.")
    floor: float = Field(0.1, gt=0, le=1, description="Share of each axis's channels that always stays.")
    spare_first: bool = Field(True, description="Keep all channels of the axis that the first layer writes.")


INFO = MethodInfo(
    name="pruner/network-slimming",
    params=Params,
    run="modelpress_pruner.kernels.network_slimming:run",
    summary="Remove the channels whose batch-norm scales training under an L1 penalty made small.",
    paper="arXiv:1708.06519",
    needs=frozenset({"data.train", "data.validation"}),
    metrics={
        "parameters": "count: parameters left",
        "channels_removed_share": "share: channels removed of all that could be",
        "top1": "percent: validation accuracy after the removal, before any recovery",
    },
    trains=True,
)
