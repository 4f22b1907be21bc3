import onnx
import pytest
import torch

from modelpress.catalogue import Form
from modelpress.data.dataset import Dataset
from modelpress.graph.export import export
from modelpress.graph.model import Model
from modelpress.job import LocalJob
from modelpress.testing.blobs import BlobNet, blobs
from modelpress_quantizer.kernels.package import run
from modelpress_quantizer.kernels.ptq_int8 import quantize
from modelpress_quantizer.methods.package import INFO, Params
from modelpress_quantizer.methods.ptq_int8 import Params as Int8Params


@pytest.fixture(scope="module")
def data() -> Dataset:
    return blobs()


@pytest.fixture(scope="module")
def dense() -> Model:
    torch.manual_seed(0)
    return export(BlobNet().eval(), torch.randn(2, 1, 8, 8), check=False)


def test_a_dense_model(dense: Model, data: Dataset) -> None:
    job = LocalJob(threads=1)
    package = run(model=dense, data=data, params=Params(), job=job)["package"]
    onnx.checker.check_model(onnx.load_from_string(package.data), full_check=True)
    assert (package.format, package.form, package.facts["precision"]) == ("onnx", Form.DENSE, "fp32")
    assert job.metrics["size_bytes"] == len(package.data)
    assert job.metrics["agreement"] == 100
    assert set(job.metrics) == set(INFO.metrics)
    assert package.facts["checked"]["rows"] == 256  # as many as the split has


def test_a_quantized_model(dense: Model, data: Dataset) -> None:
    job = LocalJob(threads=1)
    model = quantize(dense, [x for x, _ in data.batches("calibration", 64)], Int8Params())
    package = run(model=model, data=data, params=Params(check_rows=100), job=job)["package"]
    assert (package.form, package.facts["precision"]) == (Form.QUANTIZED, "int8")
    assert package.facts["checked"]["rows"] == 100
    assert (
        package.size_bytes < 0.35 * run(model=dense, data=data, params=Params(), job=LocalJob())["package"].size_bytes
    )
    assert any("QLinearConv" in line for line in job.lines)
