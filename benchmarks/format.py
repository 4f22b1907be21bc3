"""Lifting, saving, loading, axes and removal on ResNet-50 (random weights, 224 x 224)."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import TypeVar

import torch
from torch.export import Dim

from benchmarks.harness import Figure, Figures
from modelpress.graph.axes import analyse, keep_count, remove
from modelpress.graph.export import export
from modelpress.graph.model import Model
from modelpress.graph.serialise import load, save
from modelpress.testing.zoo import ZOO

T = TypeVar("T")


def run(*, quick: bool) -> Figures:
    torch.set_num_threads(2)
    net = ZOO["resnet-18" if quick else "resnet-50"].lively()
    x = torch.randn(2, 3, 224, 224)
    _export_twice(net, x)  # the first export of a process imports much of torch
    exports, beyond, axes, prunes = [], [], [], []
    for _ in range(1 if quick else 5):
        exported = _timed(partial(_export_twice, net, x))[1]
        lifted, whole = _timed(partial(_trip, net, x))
        exports.append(exported)
        beyond.append(whole - exported)
        found, axes_s = _timed(partial(analyse, lifted))
        axes.append(axes_s)
        keep = {a.name: torch.arange(keep_count(a.size, 0.5, 1)) for a in found.prunable()}
        prunes.append(_timed(partial(remove, lifted, found, keep))[1])
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "seconds": Figure(median(beyond), "s", tuple(beyond), "<= 3", "lift + save + load, beyond torch.export itself"),
        "export_s": Figure(median(exports), "s", tuple(exports), note="torch.export in eval and in train mode"),
        "axes_s": Figure(median(axes), "s", tuple(axes), "<= 1"),
        "prune_s": Figure(median(prunes), "s", tuple(prunes), "<= 2", "half of every width"),
        "peak_mb": Figure(peak_mb, "MB", note="of the whole process, torch and the model included"),
    }


def _trip(net: torch.nn.Module, x: torch.Tensor) -> Model:
    files = save(export(net, x, check=False))
    return load(files.graph_json, files.tensors)


def _export_twice(net: torch.nn.Module, x: torch.Tensor) -> None:
    for mode in (False, True):
        torch.export.export(net.train(mode), (x,), dynamic_shapes=({0: Dim.DYNAMIC},))
    net.eval()


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start
