"""The x-ray: how long it takes, whether what it predicts comes true, whether it says the same again, and the zoo."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.harness import Figure, Figures
from modelpress.artifacts.package import Package, get_package
from modelpress.catalogue import load_catalogue
from modelpress.cli.commands.demo import QUICK, submit
from modelpress.client.client import connect
from modelpress.demo.net import build, example, weights
from modelpress.errors import ModelpressError
from modelpress.graph.export import export
from modelpress.graph.model import Model
from modelpress.graph.packages.make import make_package
from modelpress.graph.packages.session import Session
from modelpress.job import LocalJob
from modelpress.measure.rounds import ratio, take_turns
from modelpress.testing.zoo import ZOO
from modelpress.xray.advice import Subject
from modelpress.xray.budget import Clock
from modelpress.xray.candidates import WAYS
from modelpress.xray.findings import XRay
from modelpress.xray.measuring import bind
from modelpress.xray.take import Options, take
from modelpress_pruner.kernels import l1_filter
from modelpress_pruner.methods.l1_filter import Params as FilterParams
from modelpress_quantizer.kernels import untrained_int8
from modelpress_quantizer.methods.untrained_int8 import Params as Int8Params

THREADS = 2
RUNS = 10
SECONDS = 5.0
COMMANDS = {"resnet50": "timm:resnet50", "vit": "timm:vit_tiny_patch16_224"}
QUICK_ZOO = ("lenet-5", "bert", "dcgan", "graph-scatter")


def run(*, quick: bool) -> Figures:
    torch.set_num_threads(THREADS)
    return {**_commands(quick), **_prediction(quick), **_spread(quick), **_zoo(quick)}


def _commands(quick: bool) -> Figures:
    """The whole command at batch 1, from its start to the page written."""
    sources = {"demo": "modelpress.demo.net:FashionResNet"} if quick else COMMANDS
    with tempfile.TemporaryDirectory() as folder:
        return {
            f"{name}_s": Figure(_command_s(source, Path(folder)), "s", target="<= 60")
            for name, source in sources.items()
        }


def _command_s(source: str, folder: Path) -> float:
    page = folder / "xray.html"
    words = ["xray", source, "--batch", "1", "--threads", str(THREADS), "--html", str(page), "--home", str(folder)]
    words += [] if source.startswith("timm:") else ["--input", "1,28,28", "--budget-s", "20"]
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "modelpress", *words], check=True, capture_output=True)
    taken = time.perf_counter() - start
    assert page.stat().st_size > 0
    return taken


def _prediction(quick: bool) -> Figures:
    """Ratios that x-rays predict by MACs, against those of models that were really pruned and quantized."""
    errors: dict[str, float] = {}
    for name, (dense, small) in {"demo": _demo_pressed(quick), "resnet-18": _resnet_pressed()}.items():
        found = _xray(dense, (1,) if quick else (1, 64), 60.0)
        sides = {"dense": Session(make_package(dense), THREADS), "small": Session(small, THREADS)}
        for batch in found.batches:
            measured = _ratio(sides, batch)
            expected = predicted(found, int(small.facts["macs"]), batch)
            errors[f"{name} at batch {batch}"] = abs(expected / measured - 1)
            print(f"{name}, batch {batch}: predicted {expected:.2f}, measured {measured:.2f} {found.noisy}", flush=True)
    worst = max(errors, key=errors.__getitem__)
    return {"prediction_error": Figure(errors[worst], "share", tuple(errors.values()), "<= 0.15", worst)}


def predicted(found: XRay, macs: int, batch: int) -> float:
    """The ratio of an int8 model of ``macs``, between those of the int8 candidates around it; both in logarithms."""
    known = sorted((c.macs, one.ratio) for c in found.candidates if c.int8 and (one := c.at(batch)))
    xs, ys = np.log([m for m, _ in known]), np.log([r for _, r in known])
    return float(np.exp(np.interp(np.log(macs), xs, ys)))


def _ratio(sides: Mapping[str, Session], batch: int) -> float:
    rounds = take_turns({name: bind(session, batch) for name, session in sides.items()}, SECONDS)
    return ratio(rounds.sides["dense"], rounds.sides["small"]).median


def _demo() -> Model:
    shipped = weights()
    assert shipped is not None, "the checkout ships the demo's weights"
    return export(build(shipped), example(), check=False)


def _demo_pressed(quick: bool) -> tuple[Model, Package]:
    """The demo's model and its recipe's final package, trained for one epoch: what is trained changes no shape."""
    scale = QUICK if quick else dataclasses.replace(QUICK, samples={})
    with tempfile.TemporaryDirectory() as home, connect(home=home) as client:
        run = submit(client, scale, seed=0).wait()
        assert run.succeeded, run.verdict
        return _demo(), get_package(client.store, run.outputs["package"].digest)


def _resnet_pressed() -> tuple[Model, Package]:
    """ResNet-18, half of its filters really gone, in int8."""
    dense = _of_zoo("resnet-18")
    half = l1_filter.run(model=dense, params=FilterParams(sparsity=0.5, multiple=8), job=LocalJob())["model"]
    return dense, make_package(untrained_int8.run(model=half, params=Int8Params(), job=LocalJob())["model"])


def _of_zoo(name: str) -> Model:
    entry = ZOO[name]
    return export(entry.lively(), entry.examples(), dynamic=entry.dynamic(), check=False)


def _xray(model: Model, batches: tuple[int, ...], budget_s: float) -> XRay:
    subject = Subject("benchmark", "benchmark", "benchmark", (), True, None, False)
    options = Options(batches, THREADS, budget_s)
    return take(model, subject, options, load_catalogue(), Clock.start(budget_s), lambda text: None)


def _spread(quick: bool) -> Figures:
    """Range over median of the verdict's ratios in repeated runs, over the runs that did not say that they were noisy.

    Where fewer than two were quiet, the range of all is told, without a target.
    """
    model = _demo()
    runs = [_xray(model, (1,), 20.0) for _ in range(2 if quick else RUNS)]
    quiet = [found for found in runs if not found.noisy]
    counted = quiet if len(quiet) > 1 else runs
    spreads = [_range(counted, name) for name in ("int8", "width 1/2, int8")]
    note = f"{len(quiet)} of {len(runs)} runs were quiet; int8 over all runs: {_range(runs, 'int8'):.3f}"
    target = "<= 0.1" if len(quiet) > 1 else ""
    return {
        "spread": Figure(max(spreads), "share", tuple(spreads), target, note),
        "noisy_runs": Figure(len(runs) - len(quiet), "runs"),
    }


def _range(runs: list[XRay], name: str) -> float:
    ratios = [one.ratio for found in runs for c in found.candidates if c.name == name and (one := c.at(1))]
    return (max(ratios) - min(ratios)) / median(ratios)


def _zoo(quick: bool) -> Figures:
    """Every network: its x-ray is taken, and every way is measured or named."""
    names = QUICK_ZOO if quick else tuple(ZOO)
    failed = {name: said for name in names if (said := _failure(name))}
    target = f">= {len(names)}"
    return {
        "done": Figure(len(names) - len(failed), "networks", target=target, note="; ".join(failed.values())),
        "of": Figure(len(names), "networks"),
    }


def _failure(name: str) -> str:
    try:
        found = _xray(_of_zoo(name), (1,), 60.0)
    except ModelpressError as e:
        return f"{name}: {e}"
    told = {c.name for c in found.candidates} | {s.name for s in found.skipped}
    silent = [way.name for way in WAYS if way.name not in told]
    print(f"{name}: {found.verdict} Left out: {'; '.join(f'{s.name} ({s.why})' for s in found.skipped)}", flush=True)
    return f"{name}: silent about {', '.join(silent)}" if silent else ""
