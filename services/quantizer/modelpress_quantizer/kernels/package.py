"""Tensor code of methods/package.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace

from modelpress.artifacts.package import Package
from modelpress.data.dataset import Dataset
from modelpress.graph.model import Model
from modelpress.graph.packages.check import check_package
from modelpress.graph.packages.make import make_package
from modelpress.graph.packages.session import runtime_operators
from modelpress.job import Job
from modelpress_quantizer.methods.package import Params


def run(model: Model, data: Dataset, params: Params, job: Job) -> Mapping[str, Package]:
    """Write the file, run it beside the model, and tell what the runtime makes of it."""
    package = make_package(model, params.format)
    raw = data.split("validation").inputs[: params.check_rows]
    found = check_package(package, model, data.prepare(raw), job.threads)
    operators = runtime_operators(package)
    job.log("runtime operators: " + ", ".join(f"{count} {name}" for name, count in sorted(operators.items())))
    job.metric("size_bytes", package.size_bytes)
    job.metric("agreement", found.agreement)
    job.metric("difference", found.difference)
    job.metric("parameters", package.facts["parameters"])
    job.metric("macs", package.facts["macs"])
    return {"package": replace(package, facts={**package.facts, "checked": asdict(found)})}
