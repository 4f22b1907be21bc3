"""Recurrent leaves: one axis of hidden units through gates, layers and directions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from modelpress.errors import InputError
from modelpress.graph.axes import analyse, remove
from tests.unit.graph.axes.oracle import check_each_axis, exactness
from tests.unit.graph.axes.traced import traced

aten = torch.ops.aten
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


class Recurrent(nn.Module):
    def __init__(self, layer: nn.Module, width: int, states: int = 0) -> None:
        super().__init__()
        self.stem = nn.Linear(5, 4)
        self.first = nn.Linear(5, width) if states else None
        self.layer = layer
        self.states = states
        self.head = nn.Linear(width * 2 if layer.bidirectional else width, 3)

    def forward(self, x: Tensor) -> Tensor:
        inputs = [aten.tanh.default(self.stem(x))]
        if self.first is not None:
            state = aten.unsqueeze.default(aten.tanh.default(self.first(aten.select.int(x, 1, 0))), 0)
            inputs += [[state, state] if self.states == 2 else state]
        outputs = self.layer(*inputs)
        out: Tensor = self.head(aten.select.int(outputs[0], 1, -1))
        return out


LAYERS: dict[str, tuple[nn.Module, int, int]] = {
    "lstm": (nn.LSTM(4, 6, batch_first=True), 6, 0),
    "lstm of two layers and directions": (nn.LSTM(4, 6, 2, batch_first=True, bidirectional=True), 6, 0),
    "lstm with a projection": (nn.LSTM(4, 12, 2, batch_first=True, proj_size=6), 6, 0),
    "lstm from a state": (nn.LSTM(4, 6, batch_first=True), 6, 2),
    "gru": (nn.GRU(4, 6, 2, batch_first=True, bias=False), 6, 0),
    "gru from a state": (nn.GRU(4, 6, batch_first=True), 6, 1),
    "rnn": (nn.RNN(4, 6, batch_first=True, bidirectional=True), 6, 0),
}


@pytest.mark.parametrize("name", LAYERS)
def test_hidden_units_go_exactly(name: str) -> None:
    layer, width, states = LAYERS[name]
    source = traced(Recurrent(layer, width, states), ("batch", 3, 5))
    found = exactness(source)
    hidden = "first.out" if states else "layer.hidden"
    expected = {"stem.out": (4, ""), hidden: (layer.hidden_size, "")}
    if layer.proj_size:
        expected["layer.projection"] = (layer.proj_size, "")
    assert found == expected
    check_each_axis(source)


def test_sizes_follow() -> None:
    source = traced(Recurrent(nn.LSTM(4, 12, 2, batch_first=True, proj_size=6), 6), ("batch", 3, 5))
    axes = analyse(source)
    keep = {"layer.hidden": torch.arange(5), "layer.projection": torch.arange(4), "stem.out": torch.arange(3)}
    layer = remove(source, axes, keep).module.get_submodule("layer")
    assert isinstance(layer, nn.LSTM)
    assert (layer.input_size, layer.hidden_size, layer.proj_size) == (3, 5, 4)
    assert [tuple(p.shape) for p in layer.parameters()][:5] == [(20, 3), (20, 4), (20,), (20,), (4, 5)]
    keep = {"layer.hidden": torch.arange(6)}
    with pytest.raises(InputError, match=r"6 hidden units and a projection of 6; keep at least 7"):
        remove(source, axes, keep)


def test_a_gate_of_a_removed_unit_goes_from_each_stack() -> None:
    layer = nn.LSTM(4, 6, batch_first=True)
    source = traced(Recurrent(layer, 6), ("batch", 3, 5))
    small = remove(source, analyse(source), {"layer.hidden": torch.tensor([1, 5])})
    rows = [1, 5, 7, 11, 13, 17, 19, 23]
    left, own = dict(small.module.named_parameters()), dict(layer.named_parameters())
    assert torch.equal(left["layer.weight_ih_l0"], own["weight_ih_l0"][rows])
    assert torch.equal(left["layer.weight_hh_l0"], own["weight_hh_l0"][rows][:, [1, 5]])
    assert torch.equal(left["layer.bias_hh_l0"], own["bias_hh_l0"][rows])


class Summed(nn.Module):
    """Nothing with parameters reads the units, so that they must be zero to go."""

    def __init__(self, layer: nn.Module, which: int, states: int) -> None:
        super().__init__()
        self.layer, self.which, self.states = layer, which, states
        self.first = nn.Linear(5, 6)

    def forward(self, x: Tensor) -> Tensor:
        state = aten.unsqueeze.default(aten.sigmoid.default(self.first(aten.select.int(x, 1, 0))), 0)
        outputs = self.layer(x, [state, state] if self.states == 2 else state) if self.states else self.layer(x)
        last = outputs[1][1] if isinstance(self.layer, nn.LSTM) else outputs[1]
        summed, dims = ((outputs[0], [2]), (last, [0, 2]))[self.which]
        out: Tensor = aten.sum.dim_IntList(summed, dims)
        return out


@pytest.mark.parametrize(
    ("layer", "which", "states", "exact"),
    [
        (nn.LSTM(5, 6, batch_first=True), 0, 0, True),
        (nn.LSTM(5, 6, batch_first=True), 1, 0, True),
        (nn.LSTM(5, 6, batch_first=True), 0, 2, False),
        (nn.LSTM(5, 6, batch_first=True), 1, 2, False),
        (nn.LSTM(5, 12, batch_first=True, proj_size=6), 0, 0, True),
        (nn.GRU(5, 6, batch_first=True), 0, 0, True),
        (nn.GRU(5, 6, batch_first=True), 0, 1, False),
        (nn.RNN(5, 6, batch_first=True), 0, 1, True),
        (nn.RNN(5, 6, batch_first=True), 1, 1, True),
    ],
)
def test_a_silent_unit_is_zero_if_its_first_state_is(layer: nn.Module, which: int, states: int, exact: bool) -> None:
    source = traced(Summed(layer, which, states), ("batch", 3, 5))
    axes = analyse(source)
    assert all(axis.exact == exact for axis in axes.prunable()), axes.prunable()
    assert axes.prunable()
    check_each_axis(source)


def test_time_stays_as_it_is() -> None:
    class OverTokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Parameter(torch.zeros(1, 7, 4))
            self.layer = nn.GRU(4, 6, batch_first=True)
            self.head = nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            y = aten.mul.Tensor(self.tokens, aten.unsqueeze.default(x, -1))
            out: Tensor = self.head(aten.sum.dim_IntList(self.layer(y)[0], [1]))
            return out

    source = traced(OverTokens(), ("batch", 1))
    assert "time of GRU" in analyse(source).frozen()["tokens.1"]
