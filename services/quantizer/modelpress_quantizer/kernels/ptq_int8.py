"""Tensor code of methods/ptq_int8.py.

Shapes (o = output channels): weight [o, ...] float32    stored weight [o, ...] int8    weight scale [o] float32
    bias [o] float32    stored bias [o] int32, at scale input_scale * weight scale
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, fx, nn

from modelpress.catalogue import Form
from modelpress.constraints.affine import INT32_MAX, bias_safe_scale, quantize_symmetric, symmetric_scale
from modelpress.constraints.dequantize import attach_dequantize
from modelpress.constraints.fake_quantize import FakeQuantize
from modelpress.data.dataset import Dataset
from modelpress.errors import InputError
from modelpress.graph.fold import fold_batch_norm
from modelpress.graph.model import Model
from modelpress.graph.shapes import value_shapes
from modelpress.job import Job
from modelpress_quantizer.methods.ptq_int8 import Params
from modelpress_quantizer.observers import calibration_batches, choose_range, observe
from modelpress_quantizer.placement import grid_of, insert_grids, layer_calls, quantization_points

EVALUATION_BATCH = 256


def run(model: Model, data: Dataset, params: Params, job: Job) -> Mapping[str, Model]:
    """Quantize ``model``; its own module is not changed."""
    checked = checked_rows(data, params.check_rows)
    job.metric("top1_validation_before", top1(model.module, checked))
    job.progress("calibrate", 0, 1)
    inputs = calibration_batches(data.batches("calibration", params.batch_size))
    quantized = quantize(model, inputs, params)
    job.progress("calibrate", 1, 1)
    job.metric("layers_quantized", quantized.facts["quantized"]["layers"])
    job.metric("top1_validation", top1(quantized.module, checked))
    return {"model": quantized}


@torch.no_grad()
def quantize(model: Model, inputs: list[Tensor], params: Params) -> Model:
    """A quantized copy of a dense ``model``, with ranges from ``inputs`` ([b, ...] float32 each).

    Raises:
        InputError: there is nothing to quantize.
    """
    folded = fold_batch_norm(model)
    graph_module = folded.module.eval()
    histograms = observe(graph_module, quantization_points(graph_module), inputs)
    ranges = {
        node: choose_range(histogram, params.observer, params.percentile) for node, histogram in histograms.items()
    }
    return quantize_ranges(folded, ranges, 63 if params.reduce_range else 127, params.observer)


def quantize_ranges(
    folded: Model, ranges: Mapping[fx.Node, tuple[float, float]], quant_max: int, observer: str
) -> Model:
    """``folded`` with grids over ``ranges`` and integer weights; its module is changed.

    Raises:
        InputError: there is nothing to quantize.
    """
    graph_module = folded.module
    matrices = _matrix_calls(folded)
    insert_grids(graph_module, {node: FakeQuantize.of_range(*ends) for node, ends in ranges.items()})
    layers = quantize_layers(graph_module, matrices, quant_max)
    if not layers:
        raise InputError("the model has no convolution or linear layer whose weights could be quantized")
    facts = {"bits": 8, "layers": layers, "grids": len(ranges), "observer": observer}
    return folded.with_(form=Form.QUANTIZED, facts={**folded.facts, "quantized": facts})


def quantize_layers(graph_module: fx.GraphModule, matrices: set[fx.Node], quant_max: int) -> int:
    """Make the weights of all integer layers integers, and the biases that kernels add as integers; count the layers.

    Of linear layers those called on ``matrices`` only are such: for inputs of more dimensions ONNX Runtime multiplies
    in integers and adds the bias in floats.
    """
    count = 0
    for _, layer, calls in layer_calls(graph_module):
        sources = [grid_of(graph_module, call.all_input_nodes[0]) for call in calls]
        adds_integers = not isinstance(layer, nn.Linear) or matrices.issuperset(calls)
        quantize_layer(layer, _shared_scale(sources) if adds_integers else None, quant_max)
        count += 1
    return count


def _matrix_calls(model: Model) -> set[fx.Node]:
    """The nodes whose values are matrices."""
    shapes = value_shapes(model)
    return {node for node in model.module.graph.nodes if len(shapes.get(node.name, ())) == 2}


def quantize_layer(layer: nn.Module, input_scale: Tensor | None, quant_max: int) -> None:
    """Put integers under ``layer``'s weight and, where the input has one scale [] float32, its bias."""
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, Tensor)
    scale = symmetric_scale(weight, quant_max)
    if isinstance(bias, Tensor) and input_scale is not None:
        scale = bias_safe_scale(scale, bias, input_scale)
        bias_scale = input_scale * scale
        attach_dequantize(layer, "bias", quantize_symmetric(bias, bias_scale, INT32_MAX, torch.int32), bias_scale)
    attach_dequantize(layer, "weight", quantize_symmetric(weight, scale, quant_max, torch.int8), scale)


def _shared_scale(sources: list[FakeQuantize | None]) -> Tensor | None:
    """The scale that all calls of a layer read at, or None: then the bias has no one integer form and stays float."""
    scales = {float(s.scale) for s in sources if s is not None}
    first = sources[0]
    return first.scale if first is not None and len(scales) == 1 and None not in sources else None


def checked_rows(data: Dataset, rows: int) -> tuple[Tensor, Tensor]:
    """The first ``rows`` of the validation split: inputs [rows, ...] float32, targets [rows] int64."""
    split = data.split("validation")
    return data.prepare(split.inputs[:rows]), split.targets[:rows]


@torch.no_grad()
def top1(module: fx.GraphModule, checked: tuple[Tensor, Tensor]) -> float:
    """Per cent of the rows that ``module`` classifies right."""
    module.eval()
    inputs, targets = checked
    logits = torch.cat([module(batch) for batch in torch.split(inputs, EVALUATION_BATCH)])
    return 100.0 * int((logits.argmax(1) == targets).sum()) / len(targets)
