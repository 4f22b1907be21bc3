"""Files that earlier versions of the format wrote stay readable and mean what they meant (tests/fixtures/format)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from modelpress.catalogue import Form
from modelpress.constraints.dequantize import dequantize_of
from modelpress.constraints.fake_quantize import FakeQuantize
from modelpress.graph.model import Model
from modelpress.graph.serialise import load, save
from tests.fixtures.format.make import by_path

FORMAT = Path(__file__).parents[2] / "fixtures" / "format"
V1 = FORMAT / "v1"
FOLDERS = sorted(p.parent for p in FORMAT.glob("v*/*/graph.json"))


@pytest.fixture(params=FOLDERS, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def read(folder: Path) -> Model:
    return load((folder / "graph.json").read_bytes(), (folder / "tensors.safetensors").read_bytes())


def expected(folder: Path) -> tuple[list[Tensor], dict[str, Tensor]]:
    """The inputs and the outputs that were written beside the model."""
    tensors = load_file(folder / "expected.safetensors")
    inputs = [tensors[name] for name in sorted(tensors) if name.startswith("input")]
    return inputs, {name: tensor for name, tensor in tensors.items() if name.startswith("output")}


def outputs_of(model: Model, inputs: list[Tensor]) -> dict[str, Tensor]:
    with torch.no_grad():
        return by_path(model.module(*inputs))


def test_the_fixtures_are_of_the_versions_that_their_folders_say() -> None:
    assert {folder.name for folder in FOLDERS if folder.parent == V1} == {"convnet", "mlp", "quantized", "tied"}
    for folder in FOLDERS:
        assert json.loads((folder / "graph.json").read_text())["version"] == int(folder.parent.name.removeprefix("v"))


def test_outputs_are_those_of_the_time_of_writing(folder: Path) -> None:
    """Within rounding: another instruction set gives other last bits (6e-8 between SSE and AVX-512)."""
    inputs, outputs = expected(folder)
    found = outputs_of(read(folder), inputs)
    assert found.keys() == outputs.keys() != set()
    for name, tensor in outputs.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-6, atol=1e-6)


def test_saved_again_in_the_present_version_it_is_bit_equal(folder: Path) -> None:
    model = read(folder)
    files = save(model)
    again = load(files.graph_json, files.tensors)
    assert (again.form, again.facts, again.notes, again.inputs) == (model.form, model.facts, model.notes, model.inputs)
    inputs, _ = expected(folder)
    for batch in (inputs, [x[:1] for x in inputs], [torch.cat([x, x]) for x in inputs]):
        before, after = outputs_of(model, batch), outputs_of(again, batch)
        assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_version_1_keeps_what_only_training_uses() -> None:
    module = read(V1 / "convnet").module
    drop, norm = module.get_submodule("drop"), module.get_submodule("deep.1")
    assert isinstance(drop, nn.Dropout)
    assert drop.p == 0.25
    assert isinstance(norm, nn.BatchNorm2d)
    assert (norm.momentum, norm.eps) == (0.1, 1e-5)
    assert torch.equal(torch.as_tensor(norm.num_batches_tracked), torch.tensor(0))


def test_version_1_keeps_ties_and_what_is_trainable() -> None:
    module = read(V1 / "tied").module
    embedding, head = module.get_submodule("head"), module.get_submodule("head_1")
    assert embedding.weight is head.weight
    assert {name: p.requires_grad for name, p in module.named_parameters()} == {
        "head.weight": True,
        "scale": True,
        "shift": False,
    }


def test_version_1_keeps_integers_and_grids() -> None:
    model = read(V1 / "quantized")
    assert model.form is Form.QUANTIZED
    assert model.facts["quantized"]["grids"] == sum(isinstance(leaf, FakeQuantize) for _, leaf in model.leaves()) == 6
    for path in ("stem.0", "deep.0", "head"):
        for name, dtype in (("weight", torch.int8), ("bias", torch.int32)):
            integers = dequantize_of(model.module.get_submodule(path), name)
            assert integers is not None
            assert integers[0].dtype == dtype
