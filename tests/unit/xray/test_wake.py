"""Zeros that training would not leave."""

from __future__ import annotations

import torch
from torch import nn

from modelpress.graph.export import export
from modelpress.graph.packages.onnx import to_onnx
from modelpress.xray.wake import wake


def test_a_zero_norm_and_a_zero_matrix_wake_and_biases_sleep() -> None:
    net = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.Linear(64, 64), nn.Linear(64, 64))
    nn.init.zeros_(net[1].weight)  # type: ignore[arg-type]
    for layer in (net[2], net[3]):
        nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    model = export(net.eval(), torch.randn(2, 64), check=False)
    asleep = len(to_onnx(model))
    (told,) = wake(model)
    assert "(1.weight, 2.weight, 3.weight)" in told
    assert len(to_onnx(model)) > asleep + 64 * 64 * 4 - 100  # equal matrices are kept once
    assert not model.module.get_parameter("2.bias").any()
    assert not net[2].weight.any()  # type: ignore[operator]
    assert wake(model) == []
