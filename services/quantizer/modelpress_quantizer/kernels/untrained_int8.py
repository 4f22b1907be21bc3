"""Tensor code of methods/untrained_int8.py."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from modelpress.graph.fold import fold_batch_norm
from modelpress.graph.model import Model
from modelpress.job import Job
from modelpress_quantizer.kernels.ptq_int8 import quantize_ranges
from modelpress_quantizer.methods.untrained_int8 import Params
from modelpress_quantizer.observers import finite_extremes
from modelpress_quantizer.placement import quantization_points


@torch.no_grad()
def run(model: Model, params: Params, job: Job) -> Mapping[str, Model]:
    """Quantize ``model`` with ranges from random inputs; its own module is not changed.

    Raises:
        InputError: there is nothing to quantize.
    """
    folded = fold_batch_norm(model)
    graph_module = folded.module.eval()
    ranges = finite_extremes(graph_module, quantization_points(graph_module), model.examples(seed=job.seed))
    quantized = quantize_ranges(folded, ranges, 63 if params.reduce_range else 127, "random inputs")
    job.metric("layers_quantized", quantized.facts["quantized"]["layers"])
    return {"model": quantized}
