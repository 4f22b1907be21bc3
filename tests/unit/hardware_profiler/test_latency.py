import pytest
import torch
from pydantic import ValidationError

from modelpress.artifacts.digest import canonical_json
from modelpress.artifacts.package import Package
from modelpress.graph.export import export
from modelpress.graph.model import Model
from modelpress.graph.packages.make import make_package
from modelpress.job import LocalJob
from modelpress.testing.blobs import BlobNet
from modelpress_hardware_profiler.kernels.latency import run, tell
from modelpress_hardware_profiler.methods.latency import INFO, Params

QUICK = Params(batch_sizes=(1, 4), seconds=0.01, threads=1)
ALONE = {"latency_ms", "throughput", "noise", "preemptions"}
OF_REFERENCE = {
    "reference_latency_ms", "reference_throughput", "latency_ratio", "latency_ratio_low", "latency_ratio_high"
}  # fmt: skip


def lifted(width: int) -> Model:
    return export(BlobNet(width).eval(), torch.randn(2, 1, 8, 8), check=False)


@pytest.fixture(scope="module")
def package() -> Package:
    return make_package(lifted(4))


def test_a_package_alone(package: Package) -> None:
    job = LocalJob()
    report = run(package=package, params=QUICK, job=job)["report"]
    assert set(job.metrics) == {f"{name}_b{n}" for name in ALONE for n in (1, 4)}
    assert report["threads"] == 1
    assert set(report["batches"]["4"]) == {"metrics", "package"}


def test_beside_a_package(package: Package) -> None:
    job = LocalJob()
    run(package=package, reference=make_package(lifted(8)), params=QUICK, job=job)
    names = ALONE | OF_REFERENCE
    assert set(job.metrics) == {f"{name}_b{n}" for name in names for n in (1, 4)}
    assert set(job.metrics) <= set(INFO.metrics)


def test_beside_a_model_eager_torch_is_told_too_and_threads_are_put_back(package: Package) -> None:
    job = LocalJob()
    before = torch.get_num_threads()
    report = run(package=package, reference=lifted(8), params=QUICK, job=job)["report"]
    assert torch.get_num_threads() == before
    assert job.metrics["reference_eager_latency_ms_b4"] > 0
    assert set(job.metrics) <= set(INFO.metrics)
    figures = report["batches"]["1"]["metrics"]
    assert figures["latency_ratio_low_b1"] <= figures["latency_ratio_b1"] <= figures["latency_ratio_high_b1"]
    side = report["batches"]["1"]["reference"]
    assert side["p50_ms"] <= side["p95_ms"] <= side["p99_ms"]
    canonical_json(report)


def test_threads_are_the_steps_own_unless_told(package: Package) -> None:
    report = run(package=package, params=Params(batch_sizes=(1,), seconds=0.01), job=LocalJob(threads=2))["report"]
    assert report["threads"] == 2


def test_a_batch_size_without_metrics_is_refused() -> None:
    with pytest.raises(ValidationError, match="batch_sizes"):
        Params.model_validate({"batch_sizes": [3]})


@pytest.mark.parametrize(
    ("noise", "preemptions", "warned"), [(0.02, 3.0, False), (0.5, 3.0, True), (0.02, 300.0, True)]
)
def test_a_busy_machine_is_told(noise: float, preemptions: float, warned: bool) -> None:
    job = LocalJob()
    tell({"noise_b1": noise, "preemptions_b1": preemptions}, 1, job)
    assert bool(job.lines) is warned
    assert job.metrics["preemptions_b1"] == preemptions
