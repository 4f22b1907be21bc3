"""ONNX files of models with several inputs, integers, dynamic lengths, nested outputs and attention."""

from __future__ import annotations

import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from modelpress.artifacts.package import Package
from modelpress.errors import ExportError
from modelpress.graph.export import export
from modelpress.graph.model import Model
from modelpress.graph.packages.attention import ExplicitAttention
from modelpress.graph.packages.check import compare
from modelpress.graph.packages.make import make_package
from modelpress.graph.packages.onnx import to_onnx
from modelpress.graph.packages.session import Session


class Projected(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(4, 6, proj_size=3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.recurrent(x)[0]
        return y


class Reader(nn.Module):
    """Attends over tokens under a mask; returns nested outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.qkv, self.head = nn.Embedding(9, 8), nn.Linear(8, 24), nn.Linear(8, 3)

    def forward(self, tokens: Tensor, mask: Tensor) -> dict[str, Tensor | tuple[Tensor, Tensor]]:
        x = self.words(tokens)
        q, k, v = self.qkv(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4).unbind(0)
        y = functional.scaled_dot_product_attention(q, k, v, mask.bool()[:, None, None]).transpose(1, 2).flatten(2)
        return {"scores": self.head(y.mean(1)), "states": (x, y)}


@pytest.fixture(scope="module")
def model() -> Model:
    dims = {0: "batch", 1: "length"}
    tokens, mask = torch.randint(0, 9, (2, 6)), torch.ones(2, 6, dtype=torch.int64)
    return export(Reader(), {"tokens": tokens, "mask": mask}, dynamic={"tokens": dims, "mask": dims})


@pytest.fixture(scope="module")
def package(model: Model) -> Package:
    return make_package(model)


def test_names_and_dimensions(package: Package) -> None:
    session = onnxruntime.InferenceSession(package.data, providers=["CPUExecutionProvider"])
    assert [(i.name, i.type, i.shape) for i in session.get_inputs()] == [
        ("tokens", "tensor(int64)", ["batch", "length"]),
        ("mask", "tensor(int64)", ["batch", "length"]),
    ]
    assert [(o.name, o.shape) for o in session.get_outputs()] == [
        ("scores", ["batch", 3]),
        ("states_0", ["batch", "length", 8]),
        ("states_1", ["batch", "length", 8]),
    ]


@pytest.mark.parametrize("length", [3, 11])
def test_it_agrees_at_other_sizes_where_rows_attend_to_nothing_too(model: Model, package: Package, length: int) -> None:
    tokens, mask = torch.randint(0, 9, (300, length)), torch.randint(0, 2, (300, length))
    mask[0] = 0
    found = compare(package, model, [tokens, mask], threads=1)
    assert (found.rows, found.agreement) == (300, 100)
    assert found.difference < 1e-5


def test_examples_of_a_session_are_as_long_as_the_models(package: Package) -> None:
    session = Session(package, threads=1)
    assert [x.shape for x in session.examples(3)] == [(3, 6), (3, 6)]
    assert len(session(*session.examples(3))) == 3


@pytest.mark.parametrize("kind", ["plain", "causal", "bool", "float", "grouped"])
def test_attention_spelt_out(kind: str) -> None:
    from modelpress.graph.behaviour import Attention

    leaf = Attention(0.3, p=0.5, causal=kind == "causal", grouped=kind == "grouped").eval()
    q, k, v = torch.randn(2, 4, 5, 8), torch.randn(2, 4, 5, 8), torch.randn(2, 4, 5, 6)
    keep = torch.rand(2, 1, 5, 5) > 0.5
    keep[0, 0, 1] = False
    mask = {"bool": keep, "float": torch.zeros(keep.shape).masked_fill(~keep, float("-inf"))}.get(kind)
    if kind == "grouped":
        k, v = k[:, :2], v[:, :2]
    assert torch.allclose(ExplicitAttention(leaf)(q, k, v, mask), leaf(q, k, v, mask), atol=1e-6)


@pytest.mark.parametrize(
    ("net", "shape", "says"),
    [
        (nn.Linear(4, 2).to(torch.bfloat16), (2, 4), "bfloat16"),
        (Projected(), (2, 5, 4), "proj_size"),
    ],
)
def test_what_the_runtime_would_refuse_is_refused_at_once(net: nn.Module, shape: tuple[int, ...], says: str) -> None:
    example = torch.randn(shape).to(next(net.parameters()).dtype)
    with pytest.raises(ExportError, match=says):
        to_onnx(export(net.eval(), example, check=False))
