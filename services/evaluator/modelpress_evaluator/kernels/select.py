"""Tensor code of methods/select.py.

Shapes (n = samples, c = classes): logits [n, c] float32    targets [n] int64
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelpress.artifacts.package import Package
from modelpress.data.dataset import Dataset
from modelpress.graph.model import Model
from modelpress.job import Job
from modelpress_evaluator.kernels.classification import comparison, figures, packaged, predict
from modelpress_evaluator.methods.select import Params


def run(
    packages: Sequence[Package], reference: Package | Model, data: Dataset, params: Params, job: Job
) -> Mapping[str, Any]:
    """Classify the validation split with each of ``packages`` and the reference; give the one that is chosen."""
    targets = data.split("validation").targets
    beside = packaged(reference)
    expected = predict(beside, data, "validation", job)
    goal = figures(beside, expected, targets)
    candidates = []
    for package in packages:
        logits = predict(package, data, "validation", job)
        found = figures(package, logits, targets)
        candidates.append(found | comparison(found, goal, logits, expected))
    chosen = choose(candidates, params.max_drop_points)
    within = candidates[chosen]["top1_drop_points"] <= params.max_drop_points
    summary = {"chosen": chosen + 1.0, "candidates": float(len(candidates)), "within": float(within)}
    own = {name: value for name, value in candidates[chosen].items() if not name.startswith("reference_")}
    for name, value in {**own, **summary}.items():
        job.metric(name, value)
    job.log(f"package {chosen + 1} of {len(candidates)} is chosen" + ("" if within else "; none is accurate enough"))
    report = {"split": "validation", "samples": len(targets), "metrics": summary, "candidates": candidates}
    return {"package": packages[chosen], "report": report}


def choose(candidates: Sequence[Mapping[str, float]], max_drop_points: float) -> int:
    """The index of the smallest of those that lost at most ``max_drop_points``; of the most accurate where none did.

    Of equal ones, the more accurate, then the first.
    """
    enough = [i for i, found in enumerate(candidates) if found["top1_drop_points"] <= max_drop_points]
    if enough:
        return min(enough, key=lambda i: (candidates[i]["size_bytes"], candidates[i]["top1_drop_points"], i))
    return min(
        range(len(candidates)),
        key=lambda i: (candidates[i]["top1_drop_points"], candidates[i]["size_bytes"], i),
    )
