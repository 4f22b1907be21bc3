"""The deployable file of a model, stripped of names and debug records, and checked against the model on real inputs.

A dense model gives fp32 ONNX, a quantized one int8 ONNX in QDQ form, which runtimes run with integer kernels.

Paper: none.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from modelpress.catalogue import DENSE, QUANTIZED, Kind, MethodInfo, MethodParams, Port


class Params(MethodParams):
    """Parameters of package."""

    format: Literal["onnx"] = Field("onnx", description="Of the file.")
    check_rows: int = Field(1000, ge=1, description="Validation rows on which file and model are compared.")


INFO = MethodInfo(
    name="quantizer/package",
    params=Params,
    run="modelpress_quantizer.kernels.package:run",
    summary="Write the deployable file (ONNX: fp32, or int8 with integer kernels) and check it against its model.",
    inputs={
        "model": Port(Kind.MODEL, DENSE | QUANTIZED, "What is packaged."),
        "data": Port(Kind.DATASET, doc="Its validation split is what the file is checked on."),
    },
    outputs={"package": Kind.PACKAGE},
    needs=frozenset({"data.validation"}),
    metrics={
        "size_bytes": "bytes of the file",
        "agreement": "per cent of the checked rows on which file and model name the same class",
        "difference": "largest difference of the outputs, relative to the largest output",
        "parameters": "weights and biases",
        "macs": "multiply-accumulates for one sample",
    },
)
