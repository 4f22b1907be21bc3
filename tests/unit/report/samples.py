"""A run as the engine records it, made by hand."""

from __future__ import annotations

import hashlib
from typing import Any

from modelpress.artifacts.manifest import put_artifact
from modelpress.artifacts.memory import MemoryStore
from modelpress.catalogue import Kind, load_catalogue
from modelpress.engine.state import RunState, RunStatus, StepState, StepStatus
from modelpress.pipeline.plan import Plan
from modelpress.pipeline.validate import validate
from modelpress.report.facts import Facts, gather

START_S = 1_700_000_000.0

PIPELINE: dict[str, Any] = {
    "apiVersion": "modelpress/v1",
    "kind": "Pipeline",
    "metadata": {"name": "joint"},
    "inputs": {"model": "fashion/resnet", "data": "fashion-mnist"},
    "steps": [
        {"id": "slim", "uses": "pruner/network-slimming", "with": {"sparsity": 0.6}},
        {"id": "recover", "uses": "distiller/kd", "inputs": {"student": "slim.model", "teacher": "inputs.model"}},
        {"id": "int8", "uses": "quantizer/ptq-int8"},
        {"id": "pack", "uses": "quantizer/package"},
        {"id": "dense-pack", "uses": "quantizer/package", "inputs": {"model": "inputs.model"}},
        {"id": "plain", "uses": "quantizer/ptq-int8", "inputs": {"model": "inputs.model"}},
        {"id": "plain-pack", "uses": "quantizer/package", "inputs": {"model": "plain.model"}},
        {
            "id": "check",
            "uses": "evaluator/classification",
            "inputs": {"package": "pack.package", "reference": "dense-pack.package"},
            "gate": {"top1_drop_points": "<= 0.5", "size_ratio": ">= 10"},
        },
        {
            "id": "speed",
            "uses": "hardware-profiler/latency",
            "inputs": {"package": "pack.package", "reference": "dense-pack.package"},
        },
        {
            "id": "plain-check",
            "uses": "evaluator/classification",
            "inputs": {"package": "plain-pack.package", "reference": "dense-pack.package"},
        },
    ],
    "outputs": {"model": "int8.model", "package": "pack.package"},
}

METRICS: dict[str, dict[str, float]] = {
    "slim": {"parameters": 52_310, "channels_removed_share": 0.61, "top1": 71.2},
    "recover": {"top1": 92.4, "loss": 0.31},
    "check": {
        "top1": 92.35,
        "reference_top1": 92.61,
        "top1_drop_points": 0.26,
        "size_bytes": 57_344,
        "reference_size_bytes": 703_000,
        "size_ratio": 12.26,
    },
    "speed": {
        "latency_ms_b1": 0.32,
        "reference_latency_ms_b1": 0.51,
        "latency_ratio_b1": 1.6,
        "latency_ms_b64": 1.9,
        "reference_latency_ms_b64": 9.3,
        "latency_ratio_b64": 4.9,
    },
    "plain-check": {"top1": 92.5, "reference_top1": 92.61, "top1_drop_points": 0.11, "size_bytes": 201_000},
}


def digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def plan(**changes: Any) -> Plan:
    return validate({**PIPELINE, **changes}, load_catalogue())


def run_state(pipeline: Plan | None = None, **changes: Any) -> RunState:
    """A run that succeeded, step after step; ``changes`` replace fields."""
    pipeline = pipeline or plan()
    steps = {
        step.id: StepState(
            id=step.id,
            status=StepStatus.SUCCEEDED,
            attempt=1,
            key=digest(f"key of {step.id}").removeprefix("sha256:"),
            outputs={name: digest(f"{step.id}.{name}") for name in step.outputs},
            metrics=METRICS.get(step.id, {}),
            gates=dict.fromkeys(step.gate, True),
            started_s=START_S + 10 * i,
            ended_s=START_S + 10 * i + 7.5,
        )
        for i, step in enumerate(pipeline.steps)
    }
    fields: dict[str, Any] = {
        "run_id": "20231114-221320-ab12",
        "plan": pipeline,
        "status": RunStatus.SUCCEEDED,
        "inputs": {name: digest(f"inputs.{name}") for name in pipeline.inputs},
        "steps": steps,
        "outputs": {"model": digest("int8.model"), "package": digest("pack.package")},
        "provenance": {"versions": {"modelpress": "0.1.0", "torch": "2.14.1"}, "threads": 2},
        "submitted_s": START_S,
        "ended_s": START_S + 100,
    }
    return RunState(**{**fields, **changes})


def layer(path: str, shape: list[int], bits: int, kind: str = "Conv2d") -> dict[str, Any]:
    count = 1
    for n in shape:
        count *= n
    return {"path": path, "type": kind, "shape": shape, "bits": bits, "parameters": count}


def stored_run() -> tuple[RunState, MemoryStore]:
    """A run whose model and package are really in a store; its other artifacts are not."""
    store = MemoryStore()
    before = [layer("conv", [24, 1, 3, 3], 32), layer("bn", [24], 32, "BatchNorm2d")]
    after = [layer("conv", [12, 1, 3, 3], 8)]
    model = put_artifact(store, Kind.MODEL, {"parameters": 240, "layers": before, "form": "dense"}, {})
    small = put_artifact(store, Kind.MODEL, {"parameters": 108, "layers": after, "form": "quantized"}, {})
    package = put_artifact(store, Kind.PACKAGE, {"format": "onnx", "form": "quantized"}, {"package.onnx": b"x" * 90})
    store.tags.swap("fashion/resnet", None, model)
    state = run_state()
    steps = dict(state.steps)
    steps["int8"] = steps["int8"].model_copy(update={"outputs": {"model": str(small)}})
    steps["pack"] = steps["pack"].model_copy(update={"outputs": {"package": str(package)}})
    inputs = {**state.inputs, "model": str(model)}
    outputs = {"model": str(small), "package": str(package)}
    return state.model_copy(update={"steps": steps, "inputs": inputs, "outputs": outputs}), store


def facts() -> Facts:
    state, store = stored_run()
    return gather(state, store, load_catalogue())
