"""Tensor code of methods/classification.py.

Shapes (n = samples, c = classes): logits [n, c] float32    targets [n] int64    confusion [c, c] int64, rows = truth
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from modelpress.artifacts.package import Package
from modelpress.data.dataset import Dataset, SplitName
from modelpress.errors import InputError
from modelpress.graph.model import Model
from modelpress.graph.packages.make import make_package
from modelpress.graph.packages.session import Session
from modelpress.job import Job
from modelpress_evaluator.methods.classification import Params

BATCH = 250


def run(
    package: Package, data: Dataset, params: Params, job: Job, reference: Package | Model | None = None
) -> Mapping[str, dict[str, Any]]:
    """Classify the split with the package and, where there is one, the reference; tell both and the difference."""
    targets = data.split(params.split).targets
    logits = predict(package, data, params.split, job)
    metrics = figures(package, logits, targets)
    report: dict[str, Any] = {
        "split": params.split, "samples": len(targets), "classes": list(data.description.class_names),
        "package": by_class(logits, targets),
    }  # fmt: skip
    if reference is not None:
        beside = packaged(reference)
        expected = predict(beside, data, params.split, job)
        metrics |= comparison(metrics, figures(beside, expected, targets), logits, expected)
        report["reference"] = by_class(expected, targets)
    for name, value in metrics.items():
        job.metric(name, value)
    return {"report": {**report, "metrics": metrics}}


def packaged(reference: Package | Model) -> Package:
    """A model as it would be deployed."""
    return make_package(reference) if isinstance(reference, Model) else reference


def predict(package: Package, data: Dataset, split: SplitName, job: Job) -> Tensor:
    """Logits [n, c] of the whole split, from ONNX Runtime.

    Raises:
        InputError: the package does not give one row of logits a sample, one a class.
    """
    session = Session(package, job.threads)
    total = len(data.split(split))
    batches = []
    for inputs, _ in data.batches(split, BATCH):
        batches.append(torch.from_numpy(session.predict(inputs.numpy())))
        job.progress("classify", min(len(batches) * BATCH, total), total)
    logits = torch.cat(batches)
    wanted = (total, len(data.description.class_names))
    if tuple(logits.shape) != wanted:
        raise InputError(f"the package gives logits {tuple(logits.shape)}; the dataset's classes need {wanted}")
    return logits


def figures(package: Package, logits: Tensor, targets: Tensor) -> dict[str, float]:
    """What a package does on samples whose classes are known, and what its file is."""
    return {**accuracies(logits, targets), **file_facts(package)}


def comparison(
    found: Mapping[str, float], reference: Mapping[str, float], logits: Tensor, expected: Tensor
) -> dict[str, float]:
    """The `figures` of a reference under ``reference_...``, and what ``found`` lost and won against them."""
    beside = {f"reference_{name}": value for name, value in reference.items()}
    agreement = percent(logits.argmax(1) == expected.argmax(1))
    return {**beside, **losses({**found, **beside}), "agreement": agreement}


def accuracies(logits: Tensor, targets: Tensor) -> dict[str, float]:
    """``top1`` and ``top5`` in per cent of all samples (micro average); with fewer than five classes, of all."""
    ranked = logits.topk(min(5, logits.shape[1]), dim=1).indices == targets[:, None]
    return {"top1": percent(ranked[:, 0]), "top5": percent(ranked.any(dim=1))}


def file_facts(package: Package) -> dict[str, float]:
    """Bytes, and what the package says of its parameters and operations."""
    known = {name: float(package.facts[name]) for name in ("parameters", "macs") if name in package.facts}
    return {"size_bytes": float(package.size_bytes), **known}


def losses(metrics: Mapping[str, float]) -> dict[str, float]:
    """Accuracy lost and size won against the reference."""
    return {
        "top1_drop_points": metrics["reference_top1"] - metrics["top1"],
        "size_ratio": metrics["reference_size_bytes"] / metrics["size_bytes"],
    }


def by_class(logits: Tensor, targets: Tensor) -> dict[str, Any]:
    """Confusion matrix (rows: truth, columns: prediction) and accuracy in per cent of each class, None if unseen."""
    classes = logits.shape[1]
    confusion = torch.zeros(classes, classes, dtype=torch.int64)
    confusion.index_put_((targets, logits.argmax(1)), torch.ones_like(targets), accumulate=True)
    seen = confusion.sum(dim=1)
    recall = [100.0 * int(confusion[i, i]) / int(seen[i]) if seen[i] else None for i in range(classes)]
    return {"confusion": confusion.tolist(), "accuracy_by_class": recall}


def percent(hits: Tensor) -> float:
    """Share of True in ``hits`` [n] bool, in per cent."""
    return 100.0 * int(hits.sum()) / len(hits)
