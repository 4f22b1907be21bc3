"""What `kill` runs: pipelines of real methods on a LeNet and real images.

``python -m benchmarks.engine.job HOME NAME``: submit the pipeline, or go on with the run that a killed process
left behind, drive it to its end, and print what happened to its steps, an event a line.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from modelpress.client.client import connect
from modelpress.engine.events import Event, StepInterrupted, StepLogged, StepProgressed, StepStarted

MODEL, DATA = "lenet", "fashion-slice"
SAMPLES = {"train": 6000, "validation": 1000, "calibration": 256, "test": 1000}
PURE = ("model", "package", "check")
"""Outputs whose digests are promised; the measurement's are not."""

_HEAD: dict[str, Any] = {"apiVersion": "modelpress/v1", "kind": "Pipeline", "inputs": {"model": MODEL, "data": DATA}}
_TEACHER = {"student": "slim.model", "teacher": "inputs.model"}

PIPELINES: dict[str, dict[str, Any]] = {
    "six": {
        **_HEAD,
        "metadata": {"name": "six"},
        "steps": [
            {"id": "slim", "uses": "pruner/l1-filter", "with": {"sparsity": 0.3, "multiple": 2}},
            {"id": "recover", "uses": "distiller/kd", "inputs": _TEACHER, "with": {"epochs": 2, "learning_rate": 0.05}},
            {"id": "int8", "uses": "quantizer/ptq-int8"},
            {"id": "pack", "uses": "quantizer/package"},
            {"id": "check", "uses": "evaluator/classification"},
            {"id": "speed", "uses": "hardware-profiler/latency", "with": {"batch_sizes": [1], "seconds": 0.3}},
        ],
        "outputs": {"model": "int8.model", "package": "pack.package", "check": "check.report", "speed": "speed.report"},
    },
    "training": {
        **_HEAD,
        "metadata": {"name": "training"},
        "steps": [
            {
                "id": "train",
                "uses": "distiller/kd",
                "inputs": {"student": "inputs.model", "teacher": "inputs.model"},
                "with": {"epochs": 10, "learning_rate": 0.05},
            }
        ],
        "outputs": {"model": "train.model"},
    },
}

_TOLD = (StepStarted, StepInterrupted, StepProgressed, StepLogged)


def prepare(home: Path) -> None:
    """Push a trained LeNet and a slice of Fashion-MNIST into ``home``."""
    import torch

    from benchmarks.engine.lenet import LeNet
    from modelpress.cli.commands.demo import first_samples
    from modelpress.data.importers import import_data
    from modelpress.job import LocalJob
    from modelpress.training.loop import FitSettings, fit
    from modelpress.training.objectives import CrossEntropy

    with connect(home=home) as client:
        data = first_samples(import_data("fashion-mnist", settings=client.settings), SAMPLES)
        torch.manual_seed(0)
        net = LeNet()
        fit(net, data, CrossEntropy(), FitSettings(epochs=2, learning_rate=0.05), LocalJob(threads=1))
        client.push_model(net, torch.zeros(2, 1, 28, 28), name=MODEL)
        client.push_data(data, name=DATA)


def tell(event: Event) -> None:
    if isinstance(event, _TOLD):
        print(event.model_dump_json(), flush=True)


def main() -> None:
    home, name = sys.argv[1:]
    with connect(home=home) as client:
        run = client.run(PIPELINES[name])
        client.engine.drive(run.id, tell)


if __name__ == "__main__":
    main()
