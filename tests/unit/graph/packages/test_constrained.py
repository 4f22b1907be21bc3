"""A package of a constrained model holds what the constraints give, through ONNX Runtime."""

import onnx
import torch
from onnx import numpy_helper

from modelpress.artifacts.package import Package
from modelpress.constraints.attach import attach
from modelpress.constraints.mask import Mask
from modelpress.constraints.stack import shape_of, tensors_of
from modelpress.graph.forms import described, finalize
from modelpress.graph.packages.onnx import to_onnx
from modelpress.graph.packages.session import Session
from tests.unit.graph.packages.nets import residual

PATHS = ("stem.weight", "inner.weight", "head.weight")


def test_a_masked_model_is_packaged_as_its_finalized_values() -> None:
    model = residual()
    for seed, path in enumerate(PATHS):
        shape = shape_of(*tensors_of(model.module)[path])
        attach(model.module, path, Mask(torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.5))
    model = described(model)
    data = to_onnx(model)
    x = torch.randn(5, 1, 8, 8)
    (outputs,) = Session(Package("onnx", model.form, data), threads=1)(x.numpy())
    assert torch.allclose(torch.as_tensor(outputs), model.module(x), atol=1e-5)
    assert data == to_onnx(finalize(model))
    weights = {w.name: numpy_helper.to_array(w) for w in onnx.ModelProto.FromString(data).graph.initializer}
    pruned = sum(int((w == 0).sum()) for w in weights.values() if w.ndim > 1)
    assert pruned == sum(int((getattr(*tensors_of(model.module)[path]) == 0).sum()) for path in PATHS)
