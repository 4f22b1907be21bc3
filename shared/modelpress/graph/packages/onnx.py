"""ONNX files of models: fp32 for dense ones, int8 in QDQ form for quantized ones.

In QDQ form every integer tensor is stored as integers behind a DequantizeLinear and every grid is a pair of
QuantizeLinear and DequantizeLinear; ONNX Runtime and other runtimes fuse them into integer kernels.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import fx

from modelpress.errors import ExportError
from modelpress.graph.model import Model
from modelpress.graph.packages.lower import lower
from modelpress.graph.packages.strip import strip

OPSET = 20
EXAMPLE_BATCH = 2


def to_onnx(model: Model) -> bytes:
    """The model as one ONNX file, dynamic in its batch, stripped; equal bytes for equal models.

    Inputs keep their names; outputs are called ``output``, or ``output_0``, ``output_1``, ...

    Raises:
        ExportError: an operator has no ONNX form.
        InputError: an activation's grid has no 8-bit ONNX type.
    """
    import onnx

    program = _export(lower(model), model)
    stripped: bytes = strip(onnx.ModelProto.FromString(program), [spec.name for spec in model.inputs])
    return stripped


def _export(graph_module: fx.GraphModule, model: Model) -> bytes:
    batch = tuple({0: torch.export.Dim.DYNAMIC} for _ in model.inputs)
    try:
        with _quiet():
            program = torch.onnx.export(
                graph_module, model.examples(EXAMPLE_BATCH), dynamo=True, external_data=False, dynamic_shapes=batch,
                opset_version=OPSET, optimize=True, verbose=False,
            )  # fmt: skip
    except torch.onnx.errors.OnnxExporterError as e:
        raise ExportError(f"the model has no ONNX form: {e}") from e
    assert program is not None
    exported: bytes = program.model_proto.SerializeToString()
    return exported


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the exporter's chatter about itself; its errors still come through."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
