"""L1 filter pruning: remove the filters whose weights are smallest in sum; no data needed.

Paper: Li et al., "Pruning Filters for Efficient ConvNets", 2017, arXiv:1608.08710.
Differs from the paper: every layer loses the same share; channels that a residual sum ties together are scored by all
the filters that produce them (the paper follows the shortcut's), each layer's norms relative to that layer's mean.
Cost: one pass over the weights.
"""

from __future__ import annotations

from pydantic import Field

from modelpress.catalogue import MODEL, MethodInfo, MethodParams


class Params(MethodParams):
    sparsity: float = Field(0.5, gt=0, lt=1, description="Share of each axis's channels that goes.")
    multiple: int = Field(8, ge=1, description="Channels left are a multiple of this where an axis is that wide.")


INFO = MethodInfo(
    name="pruner/l1-filter",
    params=Params,
    run="modelpress_pruner.kernels.l1_filter:run",
    summary="Remove the filters with the smallest L1 norm, the same share of every layer.",
    paper="arXiv:1608.08710",
    inputs={"model": MODEL},
    metrics={
        "parameters": "count: parameters left",
        "channels_removed_share": "share: channels removed of all that could be",
    },
)
