"""Measuring code of methods/latency.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from modelpress.artifacts.package import Package
from modelpress.graph.model import Model
from modelpress.graph.packages.make import make_package
from modelpress.graph.packages.session import Session, runtime_version
from modelpress.job import Job
from modelpress.measure.rounds import DISTURBED_PER_S, NOISY, Call, Rounds, Timing, ratio, take_turns
from modelpress_hardware_profiler.methods.latency import Params

EAGER_SHARE = 0.25
"""Of the time at a batch size, for eager torch: it is told for orientation and no gate reads it."""


def run(
    package: Package, params: Params, job: Job, reference: Package | Model | None = None
) -> Mapping[str, dict[str, Any]]:
    """Measure the package, beside the reference where there is one, at each batch size."""
    threads = params.threads or job.threads
    sides = {"package": Session(package, threads)}
    if reference is not None:
        beside = make_package(reference) if isinstance(reference, Model) else reference
        sides["reference"] = Session(beside, threads)
    batches: dict[str, Any] = {}
    for done, batch in enumerate(params.batch_sizes):
        job.progress("measure", done, len(params.batch_sizes))
        rounds = take_turns({name: bind(session, batch) for name, session in sides.items()}, params.seconds)
        metrics = figures(rounds, batch)
        if isinstance(reference, Model):
            eager = measure_eager(reference, batch, threads, params.seconds * EAGER_SHARE)
            metrics[f"reference_eager_latency_ms_b{batch}"] = eager.median_ms
        tell(metrics, batch, job)
        batches[str(batch)] = {
            "metrics": metrics,
            **{name: distribution(side, batch) for name, side in rounds.sides.items()},
        }
    job.progress("measure", len(params.batch_sizes), len(params.batch_sizes))
    return {"report": {"runtime": runtime_version(), "threads": threads, "batches": batches}}


def bind(session: Session, batch: int) -> Call:
    """A call of ``session`` on ``batch`` random samples; times do not depend on the values."""
    inputs = session.examples(batch)
    return lambda: session(*inputs)


def figures(rounds: Rounds, batch: int) -> dict[str, float]:
    """The metrics at one batch size."""
    package = rounds.sides["package"]
    found = {
        f"latency_ms_b{batch}": package.median_ms,
        f"throughput_b{batch}": 1e3 * batch / package.median_ms,
        f"noise_b{batch}": rounds.noise,
        f"preemptions_b{batch}": rounds.preemptions_per_s,
    }
    reference = rounds.sides.get("reference")
    if reference is not None:
        gain = ratio(reference, package)
        found[f"reference_latency_ms_b{batch}"] = reference.median_ms
        found[f"reference_throughput_b{batch}"] = 1e3 * batch / reference.median_ms
        found[f"latency_ratio_b{batch}"] = gain.median
        found[f"latency_ratio_low_b{batch}"] = gain.low
        found[f"latency_ratio_high_b{batch}"] = gain.high
    return found


def distribution(timing: Timing, batch: int) -> dict[str, float]:
    """What the report shows of one side."""
    return {
        "p50_ms": timing.percentile_ms(50),
        "p95_ms": timing.percentile_ms(95),
        "p99_ms": timing.percentile_ms(99),
        "samples_per_second": 1e3 * batch / timing.median_ms,
        "noise": timing.noise,
        "rounds": len(timing.rounds_ms),
        "calls": len(timing.calls_ms),
    }


def tell(metrics: Mapping[str, float], batch: int, job: Job) -> None:
    """Report the metrics, and say so when the machine was too busy to trust them."""
    for name, value in metrics.items():
        job.metric(name, value)
    noise, preemptions = metrics[f"noise_b{batch}"], metrics[f"preemptions_b{batch}"]
    if noise > NOISY or preemptions > DISTURBED_PER_S:
        job.log(
            f"batch {batch}: disturbed, rounds spread by {noise:.0%} of their median and other work took a processor "
            f"{preemptions:.0f} times a second; measure on a quieter machine"
        )


@torch.no_grad()
def measure_eager(model: Model, batch: int, threads: int, seconds: float) -> Timing:
    """The model's graph in torch, operator by operator."""
    inputs = model.examples(batch)
    module = model.module.eval()
    with _torch_threads(threads):
        return take_turns({"eager": lambda: module(*inputs)}, seconds).sides["eager"]


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
