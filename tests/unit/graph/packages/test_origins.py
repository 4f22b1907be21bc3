"""Nodes of a stripped file keep nothing; beside it stands what each came from."""

from __future__ import annotations

import onnx
import torch
from torch import Tensor, nn

from modelpress.graph.export import export
from modelpress.graph.packages.onnx import onnx_file, to_onnx
from modelpress_quantizer.kernels.ptq_int8 import quantize
from modelpress_quantizer.methods.ptq_int8 import Params


class Shared(nn.Module):
    """A convolution that is called twice, and an operator of no module."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head((self.body(self.body(x)) + x).mean((2, 3)))
        return y


def test_paths_and_operators_stand_beside_the_nodes() -> None:
    model = export(Shared(), torch.randn(2, 3, 4, 4), check=False)
    file = onnx_file(model)
    assert file.data == to_onnx(model)
    nodes = onnx.ModelProto.FromString(file.data).graph.node
    told = [(node.op_type, origin) for node, origin in zip(nodes, file.origins, strict=True)]
    assert [origin for kind, origin in told if kind == "Conv"] == ["body.0", "body.0"]
    assert ("Gemm", "head") in told
    assert ("Add", "add") in told


def test_what_dequantizes_a_weight_belongs_to_its_layer() -> None:
    model = export(Shared(), torch.randn(2, 3, 4, 4), check=False)
    file = onnx_file(quantize(model, [torch.randn(2, 3, 4, 4)], Params()))
    assert not [origin for origin in file.origins if "parametrizations" in origin]
    assert file.origins.count("head") > 1


def test_a_norm_that_the_exporter_folds_leaves_the_layer_its_name() -> None:
    net = nn.Sequential(nn.ConvTranspose2d(3, 4, 2), nn.BatchNorm2d(4)).eval()
    assert onnx_file(export(net, torch.randn(2, 3, 4, 4), check=False)).origins == ("0",)
