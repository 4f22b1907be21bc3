from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from modelpress.artifacts.manifest import get_manifest
from modelpress.artifacts.memory import MemoryStore
from modelpress.constraints.affine import symmetric_scale
from modelpress.constraints.attach import attach
from modelpress.constraints.dequantize import attach_dequantize
from modelpress.constraints.fake_quantize import FakeQuantize
from modelpress.constraints.mask import Mask
from modelpress.graph.costs import LayerCost, costs, totals
from modelpress.graph.export import export
from modelpress.graph.model import Model
from modelpress.graph.storage import put_model
from modelpress.testing.costs import CHECKS
from modelpress.testing.format import Case


class Small(nn.Module):
    """One of each kind of row: leaves with and without weights, one called twice, a bare parameter, operators."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.again = nn.Conv2d(4, 4, 1)
        self.gain = nn.Parameter(torch.ones(4, 1, 1))
        self.register_buffer("shift", torch.ones(4, 1, 1))
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.conv(x)))
        x = self.again(self.again(x)) * self.gain + self.shift
        flat = x.flatten(2)
        y: Tensor = self.head((flat @ flat.transpose(1, 2)).mean(2))
        return y


def small() -> Model:
    return export(Small().eval(), torch.randn(2, 3, 6, 6))


def by_path(model: Model, **sizes: int) -> dict[str, LayerCost]:
    return {row.path: row for row in costs(model, **sizes)}


def test_every_row_by_hand() -> None:
    image = 4 * 36 * 4
    """Bytes of 4 channels of 6 x 6 floats."""
    rows = by_path(small())
    operators = {path: row for path, row in rows.items() if " at " in path}
    assert {path: row for path, row in rows.items() if path not in operators} == {
        "conv": LayerCost("conv", "Conv2d", 108, 432, 36 * 108, image, 1, (4, 3, 3, 3), 32),
        "norm": LayerCost("norm", "BatchNorm2d", 8, 4 * 16 + 8, 0, image, 1, (4,), 32),
        "again": LayerCost("again", "Conv2d", 20, 80, 2 * 36 * 16, 2 * image, 2, (4, 4, 1, 1), 32),
        "gain": LayerCost("gain", "Parameter", 4, 16, 0, 0, 1, (4, 1, 1), 32),
        "shift": LayerCost("shift", "Buffer", 0, 16, 0, 0, 1),
        "head": LayerCost("head", "Linear", 25, 100, 20, 20, 1, (5, 4), 32),
    }
    assert [(row.type, row.macs, row.activation_bytes) for row in operators.values()] == [
        ("relu", 0, image),
        ("mul", 0, image),
        ("add", 0, image),
        ("matmul", 4 * 4 * 36, 64),
        ("mean", 0, 16),
    ]


def test_rows_come_in_graph_order_and_add_up() -> None:
    rows = costs(small())
    assert [row.path for row in rows if " at " not in row.path] == ["conv", "norm", "again", "gain", "shift", "head"]
    total = totals(rows)
    assert total.type == "total"
    assert total.macs == sum(row.macs for row in rows)
    assert total.parameters == 108 + 8 + 20 + 4 + 25
    assert totals([]).weight_bytes == 0


def test_the_batch_is_one_unless_told() -> None:
    one, three = totals(costs(small())), totals(costs(small(), batch=3))
    assert (three.macs, three.activation_bytes) == (3 * one.macs, 3 * one.activation_bytes)
    assert (three.parameters, three.weight_bytes) == (one.parameters, one.weight_bytes)


def test_what_is_stored_is_what_the_module_holds() -> None:
    model = small()
    assert totals(costs(model)).weight_bytes == sum(t.nbytes for t in model.module.state_dict().values())


def test_training_mode_changes_nothing() -> None:
    model = small()
    before = costs(model)
    model.module.train()
    assert costs(model) == before


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(50, 8), nn.Linear(8, 50, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        y: Tensor = self.head(self.embedding(tokens)) @ self.embedding.weight
        return y


def test_tied_weights_count_once_and_multiply_each_time() -> None:
    rows = {row.type: row for row in costs(export(Tied().eval(), torch.randint(0, 50, (2, 7))))}
    first, second = rows["Embedding"], rows["Linear"]
    assert (first.parameters, first.weight_bytes, first.macs) == (400, 1600, 0)
    assert (second.parameters, second.weight_bytes, second.macs) == (0, 0, 7 * 400)
    assert totals(rows.values()).parameters == 400
    assert totals(rows.values()).macs == 2 * 7 * 400


def test_integers_count_a_byte_each_and_their_scales() -> None:
    model = small()
    before = by_path(model)
    head = model.module.get_submodule("head")
    weight: Any = head.weight
    scale = symmetric_scale(weight, 127)
    attach_dequantize(head, "weight", torch.zeros(5, 4, dtype=torch.int8), scale)
    attach_dequantize(head, "bias", torch.zeros(5, dtype=torch.int32), scale)
    row = by_path(model)["head"]
    assert (row.type, row.parameters, row.shape, row.bits) == ("Linear", 25, (5, 4), 8)
    assert row.weight_bytes == 20 + 5 * 4 + 2 * 5 * 4
    assert (row.macs, row.activation_bytes) == (before["head"].macs, before["head"].activation_bytes)


def test_a_pending_mask_is_stored_beside_its_weight() -> None:
    model = small()
    attach(model.module, "conv.weight", Mask(torch.rand(4, 3, 3, 3) > 0.5))
    row = by_path(model)["conv"]
    assert row == LayerCost("conv", "Conv2d", 108, 432 + 108, 36 * 108, 576, 1, (4, 3, 3, 3), 32)


def test_grids_of_activations_have_no_parameters() -> None:
    model = small()
    graph = model.module.graph
    model.module.add_submodule("grid", FakeQuantize())
    end = graph.output_node()
    with graph.inserting_before(end):
        end.replace_input_with(end.args[0], graph.call_module("grid", (end.args[0],)))  # type: ignore[arg-type]
    model.module.recompile()
    assert by_path(model)["grid"] == LayerCost("grid", "FakeQuantize", 0, 8, 0, 20, 1)


class Halved(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / 2


def test_a_constraint_on_a_bare_parameter() -> None:
    model = small()
    before = by_path(model)["gain"]
    parametrize.register_parametrization(model.module, "gain", Halved())
    assert by_path(model)["gain"] == before


def test_the_manifest_lists_what_has_parameters() -> None:
    store = MemoryStore()
    config = get_manifest(store, put_model(store, small())).config
    assert config["parameters"] == 165
    assert [entry["path"] for entry in config["layers"]] == ["conv", "norm", "again", "gain", "head"]
    assert config["layers"][0] == {
        "path": "conv", "type": "Conv2d", "shape": [4, 3, 3, 3], "bits": 32, "parameters": 108, "macs": 3888,
        "activation_bytes": 576,
    }  # fmt: skip


ZOO_SAMPLE = ("lenet-5", "mobilenet-v1", "unet", "temporal-conv-net", "lstm", "bert", "graph-scatter", "dcgan")
"""Quick ones of many operators; tests/contract/test_zoo.py asks the same of all."""


@pytest.mark.parametrize("name", ZOO_SAMPLE)
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_costs_keep_their_promises(name: str, check: Callable[[Case], str]) -> None:
    assert check(case(name)) == ""


@lru_cache(maxsize=len(ZOO_SAMPLE))
def case(name: str) -> Case:
    return Case.of(name)
