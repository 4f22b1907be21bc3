"""The main job on the whole of Fashion-MNIST, three seeds, beside the two plain baselines.

For each seed a fresh home: the shipped model is pushed, the recipe runs, and then, on the same test images, the dense
model in plain post-training int8, and the slim architecture trained from random weights for as many epochs as the
pipeline trains, quantized alike.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from benchmarks.harness import Figure, Figures
from modelpress.cli.commands.demo import FULL, QUICK, RECIPE, Scale, load_data, load_net
from modelpress.client.client import Client, connect
from modelpress.client.refs import Ref
from modelpress.client.run import Run
from modelpress.demo.net import BASELINES
from modelpress.graph.model import Model
from modelpress.graph.storage import get_model, put_model
from modelpress.job import LocalJob
from modelpress.training.loop import FitSettings, fit
from modelpress.training.objectives import CrossEntropy

SEEDS = (0, 1, 2)
Metrics = dict[str, float]

PLAIN_INT8: dict[str, Any] = {
    "apiVersion": "modelpress/v1",
    "kind": "Pipeline",
    "metadata": {"name": "plain-int8"},
    "inputs": {"model": None, "data": None, "dense": None},
    "steps": [
        {"id": "int8", "uses": "quantizer/ptq-int8"},
        {"id": "pack", "uses": "quantizer/package"},
        {"id": "dense-pack", "uses": "quantizer/package", "inputs": {"model": "inputs.dense"}},
        {
            "id": "check",
            "uses": "evaluator/classification",
            "inputs": {"package": "pack.package", "reference": "dense-pack.package"},
        },
        {
            "id": "speed",
            "uses": "hardware-profiler/latency",
            "inputs": {"package": "pack.package", "reference": "dense-pack.package"},
        },
    ],
    "outputs": {"package": "pack.package"},
}


def run(*, quick: bool) -> Figures:
    scale = QUICK if quick else FULL
    ours: list[Metrics] = []
    ptq: list[Metrics] = []
    scratch: list[Metrics] = []
    seconds = []
    for seed in SEEDS[: 1 if quick else None]:
        with tempfile.TemporaryDirectory() as home, connect(home=home) as client:
            start = time.perf_counter()
            model, data, pressed = _main_job(client, scale, seed)
            seconds.append(time.perf_counter() - start)
            ours.append(_metrics(pressed))
            ptq.append(_metrics(pressed, "plain-"))
            small = _from_scratch(client, pressed, data, scale, seed)
            scratch.append(_metrics(_plain_int8(client, small, model, data, seed)))
            print(f"seed {seed}: {seconds[-1]:.0f} s  {_line(ours[-1])}\n  plain int8   {_line(ptq[-1])}")
            print(f"  from scratch {_line(scratch[-1])}", flush=True)
    if not quick:
        _ship(scratch)
    return _figures(seconds, ours, ptq, scratch)


def _ship(scratch: Sequence[Metrics]) -> None:
    """Give the demo's report the baseline that it has no time for; latencies of another day are left out."""
    label = f"slim from scratch, int8 (mean of {len(scratch)})"
    figures = {
        name: mean(row[name] for row in scratch) for name in ("top1", "top1_drop_points", "size_bytes", "parameters")
    }
    path = resources.files("modelpress.demo") / BASELINES
    Path(str(path)).write_text(json.dumps({label: figures}, indent=2) + "\n")


def _main_job(client: Client, scale: Scale, seed: int) -> tuple[Ref, Ref, Run]:
    dataset = load_data(client, scale)
    net, example = load_net(client, dataset, scale)
    model, data = client.push_model(net, example, name="dense"), client.push_data(dataset, name="data")
    pressed = client.run(RECIPE, model=model, data=data, set=scale.settings, seed=seed).wait()
    assert "model" in pressed.outputs, pressed.verdict  # a refused gate is a figure, a failed run is not
    return model, data, pressed


def _plain_int8(client: Client, model: Ref, dense: Ref, data: Ref, seed: int) -> Run:
    inputs = {"model": str(model.digest), "data": str(data.digest), "dense": str(dense.digest)}
    done = client.run({**PLAIN_INT8, "inputs": inputs}, seed=seed).wait()
    assert done.succeeded, done.verdict
    return done


def _from_scratch(client: Client, pressed: Run, data: Ref, scale: Scale, seed: int) -> Ref:
    """The pipeline's slim architecture from random weights, trained for as many epochs as the pipeline trained."""
    steps = {step.uses: step.params for step in pressed.state.plan.steps}
    recover = steps["distiller/kd"]
    epochs = int(recover["epochs"]) + int(steps["pruner/network-slimming"]["epochs"])
    slim = get_model(client.store, pressed.state.steps["slim"].outputs["model"])  # type: ignore[arg-type]
    _reset(slim, seed)
    torch.set_num_threads(client.settings.threads)
    settings = FitSettings(
        epochs, float(recover["learning_rate"]), int(recover["batch_size"]), float(recover["weight_decay"])
    )
    fit(slim.module, load_data(client, scale), CrossEntropy(), settings, LocalJob(seed))
    return client.artifact(put_model(client.store, slim))


def _reset(model: Model, seed: int) -> None:
    torch.manual_seed(seed)
    for _, leaf in model.leaves():
        reset = getattr(leaf, "reset_parameters", None)
        if callable(reset):
            reset()


def _metrics(done: Run, prefix: str = "") -> Metrics:
    return done.metrics[f"{prefix}check"] | done.metrics[f"{prefix}speed"]


def _line(m: Metrics) -> str:
    return (
        f"top-1 {m['top1']:.2f} % (dense {m['reference_top1']:.2f} %), {m['size_ratio']:.2f}x smaller, "
        f"b1 {m['latency_ratio_b1']:.2f}x, b64 {m['latency_ratio_b64']:.2f}x"
    )


def _figures(
    seconds: Sequence[float], ours: Sequence[Metrics], ptq: Sequence[Metrics], scratch: Sequence[Metrics]
) -> Figures:
    def figure(rows: Sequence[Metrics], name: str, unit: str, target: str = "") -> Figure:
        values = tuple(row[name] for row in rows)
        return Figure(mean(values), unit, values, target)

    return {
        "seconds": Figure(max(seconds), "s", tuple(seconds), "<= 300", "push and run, fresh home; the slowest seed"),
        "dense_top1": figure(ours, "reference_top1", "%", ">= 92.5"),
        "top1": figure(ours, "top1", "%"),
        "top1_drop_points": figure(ours, "top1_drop_points", "points", "<= 0.5"),
        "size_bytes": figure(ours, "size_bytes", "bytes"),
        "size_ratio": figure(ours, "size_ratio", "x", ">= 10"),
        "latency_ratio_b1": figure(ours, "latency_ratio_b1", "x", ">= 1.2"),
        "latency_ratio_b64": figure(ours, "latency_ratio_b64", "x", ">= 3"),
        "noise_b1": figure(ours, "noise_b1", "share"),
        "noise_b64": figure(ours, "noise_b64", "share"),
        "ptq_size_ratio": figure(ptq, "size_ratio", "x"),
        "ptq_drop_points": figure(ptq, "top1_drop_points", "points"),
        "ptq_latency_ratio_b1": figure(ptq, "latency_ratio_b1", "x"),
        "ptq_latency_ratio_b64": figure(ptq, "latency_ratio_b64", "x"),
        "scratch_size_ratio": figure(scratch, "size_ratio", "x"),
        "scratch_drop_points": figure(scratch, "top1_drop_points", "points"),
    }
