"""The smallest package that is accurate enough."""

import pytest
import torch

from modelpress.artifacts.digest import canonical_json
from modelpress.artifacts.package import Package
from modelpress.data.dataset import Dataset
from modelpress.graph.export import export
from modelpress.graph.packages.make import make_package
from modelpress.job import LocalJob
from modelpress.testing.blobs import BlobNet, blobs
from modelpress_evaluator.kernels import classification
from modelpress_evaluator.kernels.select import choose, run
from modelpress_evaluator.methods.classification import Params as ClassificationParams
from modelpress_evaluator.methods.select import INFO, Params


def packaged(width: int) -> Package:
    torch.manual_seed(width)
    return make_package(export(BlobNet(width).eval(), torch.randn(2, 1, 8, 8), check=False))


@pytest.fixture(scope="module")
def data() -> Dataset:
    return blobs()


@pytest.fixture(scope="module")
def packages() -> list[Package]:
    return [packaged(width) for width in (16, 4, 8)]


def test_the_smallest_that_is_within(packages: list[Package], data: Dataset) -> None:
    job = LocalJob(threads=1)
    params = Params(max_drop_points=100)
    made = run(packages=packages, reference=packages[0], data=data, params=params, job=job)
    assert made["package"] is packages[1]
    assert set(job.metrics) == set(INFO.metrics)
    assert (job.metrics["chosen"], job.metrics["candidates"], job.metrics["within"]) == (2, 3, 1)
    canonical_json(made["report"])


def test_figures_are_those_of_classification_on_the_validation_split(packages: list[Package], data: Dataset) -> None:
    job, alone = LocalJob(threads=1), LocalJob(threads=1)
    made = run(packages=packages[1:2], reference=packages[0], data=data, params=Params(), job=job)
    classification.run(
        package=packages[1],
        reference=packages[0],
        data=data,
        params=ClassificationParams(split="validation"),
        job=alone,
    )
    assert made["report"]["candidates"] == [alone.metrics]
    assert job.metrics.items() >= {n: v for n, v in alone.metrics.items() if not n.startswith("reference_")}.items()


def test_where_none_is_within_the_most_accurate_is_given_and_said_to_be_without(
    packages: list[Package], data: Dataset
) -> None:
    job = LocalJob(threads=1)
    made = run(packages=packages, reference=packages[0], data=data, params=Params(max_drop_points=-100), job=job)
    top1 = [found["top1"] for found in made["report"]["candidates"]]
    assert top1[int(job.metrics["chosen"]) - 1] == max(top1)
    assert job.metrics["within"] == 0
    assert "none is accurate enough" in job.lines[-1]


@pytest.mark.parametrize(
    ("drops", "sizes", "chosen"),
    [
        ([0.1, 0.4, 0.6], [300, 200, 100], 1),
        ([0.1, 0.5, 0.4], [300, 200, 200], 2),
        ([0.5, 0.5], [100, 100], 0),
        ([0.9, 0.7, 0.7], [100, 200, 150], 2),
        ([-1.0], [1], 0),
    ],
)
def test_what_is_chosen(drops: list[float], sizes: list[float], chosen: int) -> None:
    candidates = [{"top1_drop_points": d, "size_bytes": s} for d, s in zip(drops, sizes, strict=True)]
    assert choose(candidates, 0.5) == chosen
