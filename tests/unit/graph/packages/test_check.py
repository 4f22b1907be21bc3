from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper

from modelpress.artifacts.package import Package
from modelpress.errors import StepError
from modelpress.graph.packages.check import check_package
from modelpress.graph.packages.make import make_package
from tests.unit.graph.packages.nets import residual, residual_int8

INPUTS = torch.randn(200, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def with_shuffled_head(package: Package) -> Package:
    """The package with its classes in another order."""
    model = onnx.load_from_string(package.data)
    (head,) = [t for t in model.graph.initializer if list(t.dims) == [5, 8]]
    rolled = np.roll(numpy_helper.to_array(head), 1, axis=0)
    head.CopyFrom(numpy_helper.from_array(rolled, head.name))
    return replace(package, data=model.SerializeToString())


def with_scaled_bias(package: Package, factor: float) -> Package:
    model = onnx.load_from_string(package.data)
    (bias,) = [t for t in model.graph.initializer if list(t.dims) == [5] and t.data_type == TensorProto.FLOAT]
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) * np.float32(factor), bias.name))
    return replace(package, data=model.SerializeToString())


def test_faithful_packages_pass() -> None:
    for model in (residual(), residual_int8()):
        found = check_package(make_package(model), model, INPUTS, threads=1)
        assert found.rows == 200
        assert found.agreement >= 99.5


def test_an_int8_package_that_names_other_classes_fails() -> None:
    model = residual_int8()
    with pytest.raises(StepError, match=r"agree on .* % of 200 rows, not on 99.5 %: .*reduce_range"):
        check_package(with_shuffled_head(make_package(model)), model, INPUTS, threads=1)


def test_a_float_package_that_is_off_by_more_than_rounding_fails() -> None:
    model = residual()
    with pytest.raises(StepError, match="differ from its graph's"):
        check_package(with_scaled_bias(make_package(model), 1.1), model, INPUTS, threads=1)
