"""Lifting, saving and loading beside torch.export itself: ResNet-50, and a BERT-base of 110 M parameters.

Each size runs in a process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import TypeVar

import torch
from torch import nn
from torch.export import Dim

from benchmarks.harness import ROOT, Figure, Figures, peak_mb
from modelpress.graph.axes import analyse, keep_count, remove
from modelpress.graph.export import export
from modelpress.graph.serialise import load, save
from modelpress.testing.zoo import Entry, Input
from modelpress.testing.zoo.packaged import torchvision_net, transformers_net

T = TypeVar("T")
SIZES = {
    "resnet50": Entry(torchvision_net("resnet50"), {"x": Input(("batch", 3, 224, 224))}),
    "bert": Entry(
        transformers_net("BertForSequenceClassification", "BertConfig"),
        {"input_ids": Input(("batch", "length"), 1000), "attention_mask": Input(("batch", "length"), 2, 1)},
    ),
    "resnet18": Entry(torchvision_net("resnet18"), {"x": Input(("batch", 3, 64, 64))}),
}


def run(*, quick: bool) -> Figures:
    small = _measured("resnet18" if quick else "resnet50", 1 if quick else 5)
    large = _measured("resnet18" if quick else "bert", 1 if quick else 3)
    beyond, exports = small["beyond_s"], small["export_s"]
    ratios = tuple(b / e for b, e in zip(large["beyond_s"], large["export_s"], strict=True))
    weights_mb, copies = large["weights_mb"][0], large["copies"]
    return {
        "seconds": Figure(median(beyond), "s", beyond, "<= 3", "ResNet-50: lift + save + load"),
        "export_s": Figure(median(exports), "s", exports, note="ResNet-50: torch.export, once, in eval mode"),
        "axes_s": Figure(median(small["axes_s"]), "s", small["axes_s"], "<= 1"),
        "prune_s": Figure(median(small["prune_s"]), "s", small["prune_s"], "<= 2", "half of every width"),
        "ratio": Figure(median(ratios), "x", ratios, "<= 1.5", "BERT-base: lift + save + load over torch.export"),
        "checked_s": Figure(median(large["checked_s"]), "s", large["checked_s"], note="BERT-base: with all checks"),
        "weights_mb": Figure(weights_mb, "MB", note="BERT-base"),
        "copies": Figure(
            copies[0], "copies", target="<= 1.1", note="weights held at the peak of lifting, beyond the user's"
        ),
        "peak_mb": Figure(large["peak_mb"][0], "MB", note="of the process, through lifting, saving and loading"),
    }


def _measured(name: str, repeats: int) -> dict[str, tuple[float, ...]]:
    command = [sys.executable, "-m", "benchmarks.format", name, str(repeats)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {key: tuple(values) for key, values in json.loads(done.stdout.splitlines()[-1]).items()}


def measure(name: str, repeats: int) -> dict[str, list[float]]:
    """The figures of one network, in this process."""
    torch.set_num_threads(2)
    entry = SIZES[name]
    net = entry.lively()
    weights_mb = sum(p.nbytes for p in net.parameters()) / 1e6
    _export(net, entry)  # the first export of a process imports much of torch
    before_mb = peak_mb()
    export(net, entry.examples(), dynamic=entry.dynamic(), check=False)
    found: dict[str, list[float]] = {"weights_mb": [weights_mb], "copies": [(peak_mb() - before_mb) / weights_mb]}
    for _ in range(repeats):
        _once(net, entry, found)
    found["checked_s"] = [_timed(lambda: export(net, entry.examples(), dynamic=entry.dynamic()))[1]]
    found["peak_mb"] = [peak_mb()]
    return found


def _once(net: nn.Module, entry: Entry, found: dict[str, list[float]]) -> None:
    """Lifting is timed with its own exports, which are taken off: what is told is what comes on top of them."""
    _, export_s = _timed(lambda: _export(net, entry))
    _, train_s = _timed(lambda: _export(net.train(), entry))
    lifted, lift_s = _timed(lambda: export(net.eval(), entry.examples(), dynamic=entry.dynamic(), check=False))
    files, save_s = _timed(lambda: save(lifted))
    _, load_s = _timed(lambda: load(files.graph_json, files.tensors))
    axes, axes_s = _timed(lambda: analyse(lifted))
    keep = {a.name: torch.arange(keep_count(a.size, 0.5, 1)) for a in axes.prunable()}
    _, prune_s = _timed(lambda: remove(lifted, axes, keep))
    beyond_s = max(0.0, lift_s - export_s - train_s) + save_s + load_s
    for key, value in (("export_s", export_s), ("beyond_s", beyond_s), ("axes_s", axes_s), ("prune_s", prune_s)):
        found.setdefault(key, []).append(value)


def _export(net: nn.Module, entry: Entry) -> None:
    shapes = {name: dict.fromkeys(dims, Dim.DYNAMIC) for name, dims in entry.dynamic().items()}
    torch.export.export(net, (), entry.examples(), dynamic_shapes=shapes)


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
