"""Accuracy of a package on a labelled split, run as it would be deployed, beside a reference on the same samples.

Paper: none.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from modelpress.catalogue import Kind, MethodInfo, MethodParams, Port


class Params(MethodParams):
    """Parameters of classification."""

    split: Literal["test", "validation"] = Field("test", description="Whose samples are classified.")


INFO = MethodInfo(
    name="evaluator/classification",
    params=Params,
    run="modelpress_evaluator.kernels.classification:run",
    summary="Top-1 and top-5 of a package, its size, and what it lost against a reference.",
    inputs={
        "package": Port(Kind.PACKAGE, doc="What is judged."),
        "reference": Port(
            Kind.PACKAGE, doc="What it is compared with; a model is packaged first.", optional=True,
            alternatives=frozenset({Kind.MODEL}),
        ),
        "data": Port(Kind.DATASET),
    },
    outputs={"report": Kind.REPORT},
    metrics={
        "top1": "per cent of samples whose class is the most likely",
        "top5": "per cent of samples whose class is among the five most likely",
        "size_bytes": "bytes of the file",
        "parameters": "weights and biases",
        "macs": "multiply-accumulates for one sample",
        "reference_top1": "top1 of the reference",
        "reference_top5": "top5 of the reference",
        "reference_size_bytes": "size_bytes of the reference",
        "reference_parameters": "parameters of the reference",
        "reference_macs": "macs of the reference",
        "top1_drop_points": "percentage points of top1 lost against the reference; negative when gained",
        "size_ratio": "how many times smaller the file is than the reference's",
        "agreement": "per cent of samples on which package and reference name the same class",
    },
)  # fmt: skip
