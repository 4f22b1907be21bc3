"""ONNX files of models: fp32 for dense ones, int8 in QDQ form for quantized ones.

In QDQ form every integer tensor is stored as integers behind a DequantizeLinear and every grid is a pair of
QuantizeLinear and DequantizeLinear; ONNX Runtime and other runtimes fuse them into integer kernels.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import fx, nn

from modelpress.errors import ExportError
from modelpress.graph.model import Model
from modelpress.graph.outputs import plain
from modelpress.graph.packages.lower import lower
from modelpress.graph.packages.origins import origins_of
from modelpress.graph.packages.strip import strip
from modelpress.graph.quiet import quiet

OPSET = 20
EXAMPLE_BATCH = 2
LOGGERS = ("torch.onnx", "onnxscript", "onnx_ir")
"""The exporter talks about itself there."""


@dataclass(frozen=True)
class OnnxFile:
    """``data`` is the file; ``origins`` say what each of its nodes, in order, computes: see `origins_of`."""

    data: bytes
    origins: tuple[str, ...]


def to_onnx(model: Model) -> bytes:
    """The bytes of `onnx_file`.

    Raises:
        ExportError, InputError: as `onnx_file`.
    """
    return onnx_file(model).data


def onnx_file(model: Model) -> OnnxFile:
    """The model as one ONNX file, dynamic where its inputs are, stripped; equal bytes for equal models.

    Inputs keep their names, and dynamic dimensions those of their symbols. A lone output is called ``output``; nested
    ones are flat, by the way to them: ``output_0``, ``boxes``, ``states_1``. What is no tensor is left out.

    Raises:
        ExportError: an operator has no ONNX form.
        InputError: an activation's grid has no 8-bit ONNX type.
    """
    import onnx

    _check_supported(model)
    lowered = lower(model)
    outputs = flatten_outputs(lowered, [spec.name for spec in model.inputs])
    program = onnx.ModelProto.FromString(_export(lowered, model))
    origins = origins_of(program)
    return OnnxFile(strip(program, {spec.name: spec.shape for spec in model.inputs}, outputs), origins)


def _check_supported(model: Model) -> None:
    """What the exporter writes a file of that ONNX Runtime then refuses."""
    for name, tensor in [*model.module.named_parameters(), *model.module.named_buffers()]:
        if tensor.dtype == torch.bfloat16:
            raise ExportError(f"'{name}' is bfloat16, which ONNX Runtime cannot run; push the module as float32")
    for path, leaf in model.leaves():
        if isinstance(leaf, nn.LSTM) and leaf.proj_size:
            raise ExportError(f"'{path}' is an LSTM with a projection (proj_size), which ONNX has no form for")


def flatten_outputs(graph_module: fx.GraphModule, taken: Sequence[str]) -> list[str]:
    """Make the graph return a plain tuple of its tensors; return their names, none of them in ``taken``."""
    output = graph_module.graph.output_node()
    leaves = {path: leaf for path, leaf in plain(output.args[0]).leaves().items() if isinstance(leaf, fx.Node)}
    if not leaves:
        raise ExportError("the model returns no tensor, so there is nothing for an ONNX file to return")
    output.args = (tuple(leaves.values()),)
    graph_module.recompile()
    return [_output_name(path, taken) for path in leaves]


def _output_name(path: str, taken: Sequence[str]) -> str:
    if not path:
        return "output"
    return path if path.isidentifier() and path not in taken else f"output_{path}"


def _export(graph_module: fx.GraphModule, model: Model) -> bytes:
    dynamic = tuple(
        {d: torch.export.Dim.DYNAMIC for d, n in enumerate(spec.shape) if isinstance(n, str)} for spec in model.inputs
    )
    try:
        with quiet(LOGGERS, logging.ERROR):
            program = torch.onnx.export(
                graph_module, model.examples(EXAMPLE_BATCH), dynamo=True, external_data=False, dynamic_shapes=dynamic,
                opset_version=OPSET, optimize=True, verbose=False,
            )  # fmt: skip
    except torch.onnx.errors.OnnxExporterError as e:
        raise ExportError(f"the model has no ONNX form: {e}") from e
    assert program is not None
    exported: bytes = program.model_proto.SerializeToString()
    return exported
