"""Models from ``.pt2`` archives compute what the module computes that was exported, bit for bit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional
from torch.utils import _pytree as pytree

from modelpress.errors import ModelFormatError, NotFoundError
from modelpress.graph.export import export
from modelpress.graph.model import Model
from modelpress.graph.pt2.reader import UNCHECKED, read_pt2
from modelpress.graph.serialise import load, save
from modelpress.testing.zoo import ZOO
from tests.unit.graph.pt2.archives import exported


def tensors(output: object) -> list[Tensor]:
    return [t for t in pytree.tree_leaves(output) if isinstance(t, Tensor)]


def same(net: nn.Module, model: Model, inputs: tuple[Tensor, ...]) -> bool:
    """Whether all outputs are there and bit-equal."""
    with torch.no_grad():
        theirs, ours = (tensors(m.eval()(*(x.clone() for x in inputs))) for m in (net, model.module))
    return len(ours) == len(theirs) > 0 and all(torch.equal(a, b) for a, b in zip(theirs, ours, strict=True))


def gradients(module: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
    outputs = [t for t in tensors(module(*inputs)) if t.is_floating_point()]
    total = sum((t.nan_to_num(neginf=0.0).cos().sum() for t in outputs), torch.zeros(()))
    named = {n: p for n, p in module.named_parameters() if p.requires_grad}
    return dict(zip(named, torch.autograd.grad(total, list(named.values())), strict=True))


@pytest.mark.filterwarnings("ignore:The tensor attributes")  # torch, on recurrent layers' lists of weights
@pytest.mark.parametrize("name", ["lenet-5", "resnet-18", "mobilenet-v2", "densenet-121", "lstm", "bert"])
def test_networks_of_the_zoo_are_bit_equal(name: str, tmp_path: Path) -> None:
    net, examples = ZOO[name].lively(), ZOO[name].examples()
    dynamic = {i: dict.fromkeys(ZOO[name].dynamic()[n], Dim.DYNAMIC) for i, n in enumerate(examples)}
    inputs = tuple(examples.values())
    file = tmp_path / "model.pt2"
    file.write_bytes(exported(net, inputs, dynamic))
    model = read_pt2(file)
    assert same(net, model, inputs)
    assert same(net, model, tuple(torch.cat([x, x, x[:1]]) for x in inputs))
    assert [spec.shape[0] for spec in model.inputs] == ["batch"] * len(inputs)
    assert sum(p.numel() for p in model.module.parameters()) == sum(p.numel() for p in net.parameters())
    files = save(model)
    assert same(net, load(files.graph_json, files.tensors), inputs)


def test_the_graph_is_the_one_that_an_export_of_the_module_gives() -> None:
    net, (x,) = ZOO["temporal-conv-net"].lively(), ZOO["temporal-conv-net"].examples().values()
    ours, theirs = save(read_pt2(exported(net, (x,)))), save(export(net, x))
    read, made = json.loads(ours.graph_json), json.loads(theirs.graph_json)
    for part in ("inputs", "nodes", "leaves", "tensors", "output"):
        assert read[part] == made[part]
    assert ours.tensors == theirs.tensors


class Regions(nn.Module):
    """Graphs within the graph: no-grad with autocast inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.fixed, self.free = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        with torch.no_grad():
            y = self.fixed(x) * x.shape[0]
            with torch.autocast("cpu", dtype=torch.bfloat16):
                z = self.fixed(y)
        return self.free(x) + y + z.float(), x.shape[0]


def test_regions_under_no_grad_and_autocast() -> None:
    net, x = Regions().eval(), torch.rand(3, 4)
    model = read_pt2(exported(net, (x,)))
    assert same(net, model, (torch.rand(5, 4),))
    assert model.module(torch.rand(5, 4))[1] == 5
    assert any("float dtypes stay as exported" in note for note in model.notes)
    used = {n for n, p in model.module.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(
        model.module(x)[0].sum(), [model.module.get_parameter(n) for n in sorted(used)], allow_unused=True
    )
    assert {n for n, g in zip(sorted(used), found, strict=True) if g is not None} == {"free.weight", "free.bias"}


class Everything(nn.Module):
    """Ties, frozen and free parameters, constants, infinite fills, several inputs, nested outputs, an in-place relu."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(20, 8), nn.Linear(8, 20, bias=False)
        self.head.weight = self.embed.weight
        self.scale = nn.Parameter(torch.rand(8), requires_grad=False)
        self.register_buffer("shift", torch.rand(8))
        self.register_buffer("passing", torch.rand(8, 16).t()[1], persistent=False)
        self.drop = nn.Dropout(0.3)

    def forward(self, tokens: Tensor, keep: Tensor) -> dict[str, Tensor | tuple[Tensor, list[Tensor]]]:
        h = functional.relu(self.drop(self.embed(tokens)) * self.scale + self.shift + self.passing, inplace=True)
        h = h + torch.tensor([0.5, 1.0]).sum()
        scores = self.head(h).masked_fill(keep.unsqueeze(-1) == 0, float("-inf"))
        return {"scores": scores, "parts": (h.mean(1), list(torch.chunk(h, 2, dim=-1)))}


EVERYTHING = (torch.randint(0, 20, (3, 6)), torch.randint(0, 2, (3, 6)))


@pytest.fixture(scope="module")
def everything() -> tuple[nn.Module, Model]:
    net = Everything().eval()
    return net, read_pt2(exported(net, EVERYTHING))


def test_outputs_and_gradients_of_nested_networks(everything: tuple[nn.Module, Model]) -> None:
    net, model = everything
    found = model.module(*EVERYTHING)
    assert list(found) == ["scores", "parts"]
    assert [type(found["parts"]), type(found["parts"][1])] == [tuple, list]
    assert same(net, model, EVERYTHING)
    assert same(net, model, tuple(torch.cat([x, x]) for x in EVERYTHING))
    theirs, ours = gradients(net, EVERYTHING), gradients(model.module, EVERYTHING)
    assert len(theirs) == 1
    assert all(torch.equal(a, b) for a, b in zip(theirs.values(), ours.values(), strict=True))


def test_ties_and_what_is_trainable(everything: tuple[nn.Module, Model]) -> None:
    _, model = everything
    module = model.module
    weights = [leaf.weight for _, leaf in model.leaves() if isinstance(leaf, nn.Embedding | nn.Linear)]
    assert len(weights) == 2
    assert weights[0] is weights[1]
    assert {n: p.requires_grad for n, p in module.named_parameters() if n == "scale"} == {"scale": False}
    assert "shift" in dict(module.named_buffers())
    assert [m.p for m in module.modules() if isinstance(m, nn.Dropout)] == [0.3]


def test_training_the_model_leaves_the_archive_alone(everything: tuple[nn.Module, Model]) -> None:
    net, _ = everything
    data = exported(net, EVERYTHING)
    first = read_pt2(data)
    with torch.no_grad():
        for tensor in [*first.module.parameters(), *first.module.buffers()]:
            tensor.zero_()
    assert same(net, read_pt2(data), EVERYTHING)


class Thirds(nn.Module):
    """A buffer and a part of it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("base", torch.arange(12.0))
        self.register_buffer("every_third", self.get_buffer("base")[1::3])

    def forward(self, x: Tensor) -> Tensor:
        return x * self.get_buffer("every_third") + self.get_buffer("base").sum()


def test_views_of_one_storage_become_tensors_of_their_own() -> None:
    net = Thirds()
    model = read_pt2(exported(net, (torch.ones(2, 4),)))
    assert same(net, model, (torch.rand(3, 4),))
    assert len({b.untyped_storage().data_ptr() for b in model.module.buffers()}) == 2


class Table(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("table", (torch.rand(4) * 3).to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.get_buffer("table")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.bool])
def test_dtypes_of_buffers(dtype: torch.dtype) -> None:
    net = Table(dtype)
    assert same(net, read_pt2(exported(net, (torch.ones(2, 4),))), (torch.rand(3, 4),))


class Windows(nn.Module):
    """Arithmetic on sizes: halves of a sequence of any length."""

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[1] // 2
        return x[:, :n].reshape(x.shape[0] * n, -1) * 2


def test_sizes_computed_in_the_graph() -> None:
    x = torch.rand(3, 8, 2)
    model = read_pt2(exported(Windows(), (x,), {0: {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}}))
    assert model.inputs[0].shape == ("batch", "size_1", 2)
    assert model.sizes["size_1"] == 8
    assert same(Windows(), model, (torch.rand(5, 12, 2),))


def test_equal_dimensions_have_one_symbol() -> None:
    inputs = (torch.rand(3, 8), torch.rand(3, 8))
    net = nn.Bilinear(8, 8, 2)
    assert [s.shape for s in read_pt2(exported(net, inputs)).inputs] == [("batch", 8), ("batch", 8)]


def test_notes_name_what_an_archive_cannot_tell() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, momentum=None)).eval()
    x = (torch.rand(2, 1, 8, 8),)
    assert read_pt2(exported(net[0], x)).notes == (UNCHECKED,)
    assert any("momentum 0 of 1" in note for note in read_pt2(exported(net, x)).notes)


def test_a_fixed_batch_is_named() -> None:
    model = read_pt2(exported(nn.Linear(4, 2), (torch.rand(3, 4),), {}))
    assert model.inputs[0].shape == (3, 4)
    assert model.sizes == {}
    assert any("fixed batch" in note for note in model.notes)


def test_a_dimension_computed_from_another_is_named() -> None:
    class Pairs(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x.repeat(2, 1) + y

    batch = Dim("batch", min=2, max=64)
    data = exported(Pairs(), (torch.rand(3, 4), torch.rand(6, 4)), {0: {0: batch}, 1: {0: 2 * batch}})
    assert any("dimension 0 of 'y' is computed from others" in note for note in read_pt2(data).notes)


@dataclass
class Found:
    boxes: Tensor
    scores: Tensor


class Pair(NamedTuple):
    low: Tensor
    high: Tensor


def test_classes_of_outputs_become_plain_containers() -> None:
    class Boxes(nn.Module):
        def forward(self, x: Tensor) -> tuple[Found, Pair]:
            return Found(x + 1, x + 2), Pair(x + 3, x + 4)

    torch.export.register_dataclass(Found, serialized_type_name="Found")
    pytree._register_namedtuple(Pair, serialized_type_name="Pair")
    x = torch.rand(2, 4)
    model = read_pt2(exported(Boxes(), (x,)))
    found, pair = model.module(x)
    assert torch.equal(found["scores"], x + 2)
    assert [type(found), type(pair)] == [dict, tuple]
    assert torch.equal(pair[1], x + 4)
    assert "the graph returns a dict where the module returns a Found" in model.notes
    assert "the graph returns a tuple where the module returns a namedtuple" in model.notes


def test_an_export_in_training_mode_is_refused() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)).train()
    with pytest.raises(ModelFormatError, match=r"\.eval\(\)"):
        read_pt2(exported(net, (torch.rand(2, 1, 8, 8),)))
    with pytest.raises(ModelFormatError, match=r"\.eval\(\)"):
        read_pt2(exported(nn.Dropout(0.5).train(), (torch.rand(2, 8),)))


def test_an_operator_beyond_the_format_is_named_with_the_users_line() -> None:
    class Spectrum(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = torch.fft.fft(x).real
            return out

    with pytest.raises(ModelFormatError, match=r"fft_fft.*test_reader\.py.*torch\.fft\.fft\(x\)"):
        read_pt2(exported(Spectrum(), (torch.rand(2, 8),)))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no file"):
        read_pt2(tmp_path / "absent.pt2")
