from collections import Counter

import onnx
import pytest
import torch
from torch import nn

from modelpress.artifacts.package import Package
from modelpress.catalogue import Form
from modelpress.constraints.fake_quantize import FakeQuantize
from modelpress.errors import InputError
from modelpress.graph.model import Model
from modelpress.graph.packages.check import compare
from modelpress.graph.packages.make import make_package
from modelpress.graph.packages.onnx import to_onnx
from modelpress.graph.packages.session import Session, runtime_operators
from modelpress.graph.serialise import load, save
from modelpress.testing.zoo import ZOO
from tests.unit.graph.packages.nets import from_zoo, int8_from_zoo, residual, residual_int8

FLOAT_KERNELS = {"Conv", "FusedConv", "Gemm", "MatMul", "Add", "AveragePool", "GlobalAveragePool", "ReduceMean", "Relu"}


@pytest.fixture(scope="module")
def dense() -> Model:
    return residual()


@pytest.fixture(scope="module")
def int8() -> Model:
    return residual_int8()


def layers(model: Model, *kinds: type[nn.Module]) -> int:
    return sum(isinstance(leaf, kinds) for _, leaf in model.leaves())


@pytest.mark.parametrize("name", ["lenet-5", "resnet-18", pytest.param("mobilenet-v2", marks=pytest.mark.slow)])
def test_int8_files_run_on_integer_kernels_throughout(name: str) -> None:
    model = int8_from_zoo(name)
    package = make_package(model)
    operators = runtime_operators(package)
    assert operators["QLinearConv"] == layers(model, nn.Conv2d)
    assert operators["QGemm"] == layers(model, nn.Linear)
    assert operators["QuantizeLinear"] == 1  # the input
    assert not FLOAT_KERNELS & set(operators)
    found = compare(package, model, ZOO[name].example(32, seed=5), threads=1)
    assert found.difference < 0.1


def test_a_dense_file_gives_the_models_outputs() -> None:
    model = from_zoo("resnet-18")
    found = compare(make_package(model), model, ZOO["resnet-18"].example(5, seed=1), threads=1)
    assert found.difference < 1e-5
    assert found.agreement == 100


def test_the_int8_file_gives_the_integers_of_the_simulation(int8: Model) -> None:
    found = compare(make_package(int8), int8, torch.randn(500, 1, 8, 8), threads=1)
    assert found.agreement >= 99
    assert found.difference < 0.05


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_any_batch_runs(dense: Model, int8: Model, batch: int) -> None:
    for model in (dense, int8):
        session = Session(make_package(model), threads=1)
        assert session.predict(torch.randn(batch, 1, 8, 8).numpy()).shape == (batch, 5)


def test_equal_models_give_equal_bytes(dense: Model, int8: Model) -> None:
    assert to_onnx(dense) == to_onnx(residual())
    files = save(int8)
    assert to_onnx(load(files.graph_json, files.tensors)) == to_onnx(int8)


def test_another_model_gives_other_bytes(dense: Model) -> None:
    assert to_onnx(dense) != to_onnx(residual(seed=1))


def test_integers_are_stored_as_integers_once(int8: Model) -> None:
    graph = onnx.load_from_string(to_onnx(int8)).graph
    kinds = Counter(tensor.data_type for tensor in graph.initializer if len(tensor.dims) > 1)
    assert kinds == {onnx.TensorProto.INT8: 3}
    weights = sum(leaf.weight.numel() for _, leaf in int8.leaves() if isinstance(leaf, nn.Conv2d | nn.Linear))
    stored = sum(len(tensor.raw_data) for tensor in graph.initializer if len(tensor.dims) > 1)
    assert stored == weights


def test_the_model_is_left_alone(int8: Model) -> None:
    before = save(int8)
    to_onnx(int8)
    assert save(int8) == before


def test_facts(dense: Model, int8: Model) -> None:
    facts = make_package(int8).facts
    assert facts["precision"] == "int8"
    assert facts["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["batch", 1, 8, 8]}]
    assert facts["macs_by_layer"] == {"stem": 64 * 8 * 9, "inner": 64 * 8 * 72, "head": 40}
    assert facts["macs"] == make_package(dense).facts["macs"]
    assert facts["parameters"] == 8 * 9 + 8 + 8 * 72 + 8 + 45


def test_a_grid_that_onnx_has_no_kernels_for_is_refused() -> None:
    model = residual_int8()
    path, _ = next((p, leaf) for p, leaf in model.leaves() if isinstance(leaf, FakeQuantize))
    model.module.set_submodule(path, FakeQuantize(bits=4))
    with pytest.raises(InputError, match=rf"'{path}' is on a grid of 4 bits"):
        to_onnx(model)


def test_an_unknown_format_is_refused(dense: Model) -> None:
    with pytest.raises(InputError, match="'tflite'; there is 'onnx'"):
        make_package(dense, "tflite")


@pytest.mark.parametrize(("format", "says"), [("mpz", "'mpz' cannot be run"), ("onnx", "cannot load the package")])
def test_a_package_that_does_not_run_is_an_input_error(format: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Session(Package(format, Form.DENSE, b"no model"), threads=1)
