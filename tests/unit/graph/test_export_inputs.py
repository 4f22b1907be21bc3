"""Example inputs: how they are named, which dimensions stay open, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from modelpress.errors import ExportError
from modelpress.graph.export import export
from modelpress.graph.inputs import read_inputs
from modelpress.graph.model import Model
from modelpress.graph.serialise import load, save


class Everything(nn.Module):
    """Takes all kinds of arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(
        self, input: Tensor, scale: int, *rest: Tensor, past: Any = None, flag: bool = False, **other: Tensor
    ) -> Tensor:
        y: Tensor = self.layer(input) * scale
        for tensor in [*rest, *other.values(), *([past[0]["key"], past[1]] if past else [])]:
            y = y + tensor
        return -y if flag else y


class Difference(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, input: Tensor, input_1: Tensor) -> Tensor:
        out: Tensor = self.layer(input) - input_1
        return out


class Tokens(nn.Module):
    def __init__(self, longest: int = 16) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(10, 6), nn.Embedding(longest, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, tokens: Tensor, mask: Tensor) -> dict[str, Tensor]:
        places = mask.cumsum(1) - 1
        x = self.words(tokens) + self.places(places)
        return {"scores": self.head(x * mask.unsqueeze(-1)), "pooled": x.mean(1)}


def x(*shape: int) -> Tensor:
    return torch.randn(*shape)


def again(model: Model) -> Model:
    files = save(model)
    return load(files.graph_json, files.tensors)


def test_nested_inputs_are_named_by_the_way_to_them() -> None:
    past = [{"key": x(3, 4)}, x(3, 4)]
    inputs = {"past": past, "flag": True, "more": x(3, 4), "input": x(3, 4), "scale": 2}
    model = again(export(Everything(), inputs))
    assert [spec.name for spec in model.inputs] == ["input", "past_0_key", "past_1", "more"]
    assert all(spec.shape == ("batch", 4) for spec in model.inputs)


def test_inputs_by_position() -> None:
    net = Everything()
    args = (x(3, 4), 3, x(3, 4), x(3, 4))
    model = again(export(net, args))
    assert [spec.name for spec in model.inputs] == ["input", "rest_0", "rest_1"]
    assert torch.equal(model.module(args[0], *args[2:]), net(*args))


def test_names_that_no_graph_may_hold_are_changed_and_stay_apart() -> None:
    class Odd(nn.Module):
        def forward(self, self_: Tensor, **other: Tensor) -> Tensor:
            return self_ + sum(other.values())

    named = read_inputs(Odd(), {"self_": x(2, 3), "graph": x(2, 3), "a-b": x(2, 3), "a_b": x(2, 3)})
    assert list(named.tensors) == ["self_", "input_graph", "a_b", "a_b_1"]


def test_by_default_the_first_dimension_is_the_batch_where_it_is_as_long_as_the_first() -> None:
    class Adds(nn.Module):
        def forward(self, x: Tensor, y: Tensor, table: Tensor, factor: Tensor) -> Tensor:
            return (x + y) @ table * factor

    model = export(Adds(), (x(5, 4), x(5, 4), x(4, 2), torch.tensor(2.0)))
    assert [spec.shape for spec in model.inputs] == [("batch", 4), ("batch", 4), (4, 2), ()]
    assert model.sizes == {"batch": 2}


def test_symbols_and_integers() -> None:
    dims = {0: "batch", 1: "length"}
    net = Tokens().eval()
    tokens, mask = torch.randint(0, 10, (2, 5)), torch.ones(2, 5, dtype=torch.int64)
    model = again(export(net, {"tokens": tokens, "mask": mask}, dynamic={"tokens": dims, "mask": dims}))
    assert model.sizes == {"batch": 2, "length": 5}
    assert [(s.dtype, s.shape) for s in model.inputs] == [("int64", ("batch", "length"))] * 2
    longer = (torch.randint(0, 10, (3, 9)), torch.ones(3, 9, dtype=torch.int64))
    ours, theirs = model.module(*longer), net(*longer)
    assert all(torch.equal(ours[k], theirs[k]) for k in theirs)


def test_equal_models_give_equal_bytes_whatever_the_examples_batch() -> None:
    net = Tokens()
    files = [
        save(export(net, (torch.zeros(n, 5, dtype=torch.int64), torch.ones(n, 5, dtype=torch.int64))))
        for n in (1, 2, 5)
    ]
    assert files[0] == files[1] == files[2]


def test_resized_examples_repeat_what_they_hold() -> None:
    inputs = read_inputs(nn.Identity(), torch.tensor([[1, 2], [3, 4]]))
    assert inputs.resized(batch=5).tensors["input"].tolist() == [[1, 2], [3, 4], [1, 2], [3, 4], [1, 2]]
    assert inputs.resized(batch=1).tensors["input"].tolist() == [[1, 2]]


def test_a_size_that_the_module_itself_refuses_is_no_error() -> None:
    dims = {0: "batch", 1: "length"}
    tokens, mask = torch.randint(0, 10, (2, 16)), torch.ones(2, 16, dtype=torch.int64)
    model = export(Tokens(longest=16), (tokens, mask), dynamic={"tokens": dims, "mask": dims})
    assert model.notes == ()  # 17 positions are refused, 15 are compared


class FixedHeads(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(3, -1)


class PinsLength(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.randn(12, 4))

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens + self.places


@pytest.mark.parametrize(
    ("net", "inputs", "dynamic", "told"),
    [
        (nn.Identity(), [], None, "empty"),
        (nn.Identity(), [3], None, "empty"),
        (nn.Identity(), "text", None, "example_inputs is a str"),
        (nn.Identity(), torch.tensor(1.0), None, "first dimension is the batch"),
        (nn.Identity(), torch.zeros(2, 3, dtype=torch.complex64), None, "complex64"),
        (nn.Identity(), [torch.zeros(0, 3)], None, "is empty along dimension 0"),
        (nn.Identity(), [x(2, 3), x(2, 3)], None, "does not take these example inputs"),
        (nn.Identity(), x(2, 3), {"inputt": {0: "batch"}}, "did you mean 'input'"),
        (nn.Identity(), x(2, 3), {"input": {2: "batch"}}, r"shape \(2, 3\)"),
        (nn.Identity(), x(2, 3), {"input": {0: "Batch"}}, "no symbol"),
        (nn.Bilinear(3, 3, 1), [x(2, 3), x(4, 3)], {"input1": {0: "n"}, "input2": {0: "n"}}, "'n' is 2 in 'input1'"),
        (
            FixedHeads(),
            x(3, 4),
            None,
            r"fixes dimension 0 \('batch'\) of 'x' at 3 \(line \d+ of forward: return x.resh",
        ),
        (PinsLength(), x(2, 12, 4), {"tokens": {1: "length"}}, r"\('length'\) of 'tokens' at 12"),
    ],
)
def test_what_is_refused(net: nn.Module, inputs: Any, dynamic: Any, told: str) -> None:
    with pytest.raises(ExportError, match=told):
        export(net, inputs, dynamic=dynamic)


def test_a_builtins_name_and_the_same_with_a_number_are_two_inputs() -> None:
    net, x = Difference(), (torch.ones(2, 4), torch.zeros(2, 4))
    model = export(net, x)
    assert [spec.name for spec in model.inputs] == ["input", "input_1"]
    files = save(model)
    assert torch.equal(load(files.graph_json, files.tensors).module(*x), net(*x))


def test_an_input_of_the_wrong_size_is_told_beside_torchs_words() -> None:
    with pytest.raises(ExportError, match=r"reduction dim.*it was called with input float32 \[2, 9\]"):
        export(nn.Sequential(nn.Linear(8, 4)), torch.randn(2, 9))
