"""Descriptions shaped like the real methods, so that validation is tested without any service."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import Field

from modelpress.catalogue import (
    ANY_FORM,
    CONSTRAINED,
    DATA,
    DENSE,
    MODEL,
    QUANTIZED,
    Catalogue,
    Kind,
    MethodInfo,
    MethodParams,
    Port,
)
from modelpress.errors import SpecError, Violation
from modelpress.pipeline.plan import Plan
from modelpress.pipeline.validate import validate

RUN = "nowhere:run"


class SlimParams(MethodParams):
    sparsity: float = Field(0.5, gt=0, lt=1, description="Share of channels that goes.")
    epochs: int = Field(3, ge=0, description="Epochs of training.")


class KdParams(MethodParams):
    temperature: float = Field(4.0, gt=0, description="Softens the answers.")
    alpha: float = Field(0.7, ge=0, le=1, description="Share of the teacher.")
    epochs: int = Field(10, ge=1, description="Epochs of training.")


class PackageParams(MethodParams):
    format: Literal["onnx"] = Field("onnx", description="Of the file.")


class CopyParams(MethodParams):
    times: int = Field(description="How often.")


class NoParams(MethodParams):
    pass


TRAINABLE = DENSE | CONSTRAINED
COMPARED = {
    "package": Port(Kind.PACKAGE),
    "reference": Port(Kind.PACKAGE, alternatives=frozenset({Kind.MODEL})),
    "data": DATA,
}
REPORT = {"report": Kind.REPORT}

CATALOGUE = Catalogue(
    (
        MethodInfo("pruner/network-slimming", SlimParams, RUN, "Slim.", metrics={"top1": "percent"}, trains=True),
        MethodInfo(
            "pruner/l1-filter",
            SlimParams,
            RUN,
            "Filters.",
            inputs={"model": MODEL, "data": Port(Kind.DATASET, optional=True)},
        ),
        MethodInfo("pruner/magnitude", NoParams, RUN, "Mask.", inputs={"model": MODEL}, produces=CONSTRAINED),
        MethodInfo(
            "distiller/kd",
            KdParams,
            RUN,
            "Distil.",
            inputs={"student": Port(Kind.MODEL, TRAINABLE), "teacher": MODEL, "data": DATA},
            produces=TRAINABLE,
            needs=frozenset({"data.train"}),
            trains=True,
        ),
        MethodInfo("quantizer/ptq-int8", NoParams, RUN, "Int8.", produces=QUANTIZED),
        MethodInfo(
            "quantizer/package",
            PackageParams,
            RUN,
            "Package.",
            inputs={"model": Port(Kind.MODEL, ANY_FORM), "data": DATA},
            outputs={"package": Kind.PACKAGE},
        ),
        MethodInfo(
            "evaluator/classification",
            NoParams,
            RUN,
            "Evaluate.",
            inputs=COMPARED,
            outputs=REPORT,
            metrics={"top1": "percent", "top1_drop_points": "points", "size_ratio": "ratio"},
        ),
        MethodInfo(
            "evaluator/select",
            NoParams,
            RUN,
            "Choose.",
            inputs={"packages": Port(Kind.PACKAGE, many=True), "data": DATA},
            outputs={"package": Kind.PACKAGE, "report": Kind.REPORT},
            metrics={"chosen": "number"},
        ),
        MethodInfo(
            "hardware-profiler/latency",
            NoParams,
            RUN,
            "Time.",
            inputs={"package": Port(Kind.PACKAGE), "reference": Port(Kind.PACKAGE, optional=True)},
            outputs=REPORT,
            metrics={"latency_ms_b1": "ms"},
            pure=False,
        ),
        MethodInfo(
            "other/copy", CopyParams, RUN, "Copy.", inputs={"source": MODEL, "extra": Port(Kind.DATASET, optional=True)}
        ),
    )
)

EXAMPLE = """\
apiVersion: modelpress/v1
kind: Pipeline
metadata: {name: slim-distill-int8}
inputs:
  model: fashion/resnet           # tag or sha256 digest
  data: fashion-mnist
steps:
  - id: slim
    uses: pruner/network-slimming
    with: {sparsity: 0.6, epochs: 3}
  - id: recover
    uses: distiller/kd
    inputs: {student: slim.model, teacher: inputs.model}
    with: {temperature: 4.0, alpha: 0.7, epochs: 10}
  - id: int8
    uses: quantizer/ptq-int8
  - id: pack
    uses: quantizer/package
    with: {format: onnx}
  - id: check
    uses: evaluator/classification
    inputs: {package: pack.package, reference: inputs.model}
    gate: {top1_drop_points: "<= 0.5", size_ratio: ">= 10"}
outputs: {model: int8.model, package: pack.package}
"""
"""The design's own example, letter by letter."""


def pipeline(*steps: dict[str, Any], **top: Any) -> dict[str, Any]:
    """A pipeline as plain data, with both usual inputs."""
    return {
        "apiVersion": "modelpress/v1",
        "kind": "Pipeline",
        "metadata": {"name": "test"},
        "inputs": {"model": "m", "data": "d"},
        "steps": list(steps),
    } | top


def step(id: str, uses: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "uses": uses} | more


SLIM = step("slim", "pruner/network-slimming")
INT8 = step("int8", "quantizer/ptq-int8")
PACK = step("pack", "quantizer/package")


def plan_of(*steps: dict[str, Any], **top: Any) -> Plan:
    return validate(pipeline(*steps, **top), CATALOGUE)


def faults_of(raw: Any, **more: Any) -> dict[str, Violation]:
    """The faults by path; the pipeline must have some, and no two with one path."""
    with pytest.raises(SpecError) as caught:
        validate(raw, CATALOGUE, **more)
    found = {fault.path: fault for fault in caught.value.violations}
    assert len(found) == len(caught.value.violations)
    return found
