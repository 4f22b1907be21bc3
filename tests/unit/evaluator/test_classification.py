from dataclasses import replace

import pytest
import torch
from torch import nn
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_confusion_matrix

from modelpress.artifacts.digest import canonical_json
from modelpress.artifacts.package import Package
from modelpress.data.dataset import Dataset
from modelpress.errors import InputError
from modelpress.graph.export import export
from modelpress.graph.model import Model
from modelpress.graph.packages.make import make_package
from modelpress.job import LocalJob
from modelpress.testing.blobs import BlobNet, blobs
from modelpress.training.evaluate import top1
from modelpress_evaluator.kernels.classification import accuracies, by_class, run
from modelpress_evaluator.methods.classification import INFO, Params


def lifted(width: int, seed: int) -> Model:
    torch.manual_seed(seed)
    return export(BlobNet(width).eval(), torch.randn(2, 1, 8, 8), check=False)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return blobs()


@pytest.fixture(scope="module")
def reference() -> Model:
    return lifted(16, seed=0)


@pytest.fixture(scope="module")
def package() -> Package:
    return make_package(lifted(8, seed=1))


def test_figures_are_those_of_torchmetrics() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(300, 7, generator=generator), torch.randint(0, 7, (300,), generator=generator)
    found = accuracies(logits, targets)
    for k in (1, 5):
        expected = multiclass_accuracy(logits, targets, num_classes=7, average="micro", top_k=k)
        assert found[f"top{k}"] == pytest.approx(100 * float(expected), abs=1e-4)
    table = by_class(logits, targets)
    assert table["confusion"] == multiclass_confusion_matrix(logits, targets, num_classes=7).tolist()
    recall = multiclass_accuracy(logits, targets, num_classes=7, average="none")
    assert table["accuracy_by_class"] == pytest.approx((100 * recall).tolist(), abs=1e-4)


def test_a_class_that_does_not_occur_has_no_accuracy() -> None:
    logits = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    assert by_class(logits, torch.tensor([0, 1]))["accuracy_by_class"] == [100.0, 0.0, None]


def test_a_package_alone(package: Package, data: Dataset) -> None:
    job = LocalJob(threads=1)
    run(package=package, data=data, params=Params(), job=job)
    assert set(job.metrics) == {"top1", "top5", "size_bytes", "parameters", "macs"}
    assert job.metrics["top5"] == 100  # four classes
    assert job.metrics["size_bytes"] == len(package.data)


@pytest.mark.parametrize("as_package", [False, True])
def test_beside_a_reference(package: Package, reference: Model, data: Dataset, as_package: bool) -> None:
    job = LocalJob(threads=1)
    beside = make_package(reference) if as_package else reference
    report = run(package=package, reference=beside, data=data, params=Params(), job=job)["report"]
    found = job.metrics
    assert set(found) == set(INFO.metrics)
    assert found["reference_top1"] == pytest.approx(top1(reference.module, data, "test"), abs=0.5)
    assert found["top1_drop_points"] == found["reference_top1"] - found["top1"]
    assert found["size_ratio"] == len(make_package(reference).data) / len(package.data)
    assert 0 <= found["agreement"] < 100
    assert report["metrics"] == found
    assert sum(map(sum, report["reference"]["confusion"])) == report["samples"] == 256
    canonical_json(report)


def test_a_package_agrees_with_itself(package: Package, data: Dataset) -> None:
    job = LocalJob(threads=1)
    run(package=package, reference=package, data=data, params=Params(split="validation"), job=job)
    assert (job.metrics["agreement"], job.metrics["top1_drop_points"], job.metrics["size_ratio"]) == (100, 0, 1)


def test_other_classes_than_the_datasets_are_refused(data: Dataset) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    package = make_package(export(net, torch.randn(2, 1, 8, 8), check=False))
    with pytest.raises(InputError, match=r"logits \(256, 3\); the dataset's classes need \(256, 4\)"):
        run(package=package, data=data, params=Params(), job=LocalJob(threads=1))


def test_facts_that_a_package_lacks_are_left_out(package: Package, data: Dataset) -> None:
    job = LocalJob(threads=1)
    run(package=replace(package, facts={}), data=data, params=Params(), job=job)
    assert "macs" not in job.metrics
