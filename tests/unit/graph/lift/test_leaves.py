"""Calls that become leaves: each kind once, its outputs and gradients those of the user's module."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from modelpress.errors import ExportError
from modelpress.graph.behaviour import Attention
from tests.unit.graph.lift.lifting import assert_same, kinds, lifted, operators_of


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (nn.Conv1d(4, 6, 3, padding="same"), (4, 8)),
        (nn.Conv2d(4, 6, 3, padding="valid", groups=2), (4, 8, 8)),
        (nn.Conv3d(4, 4, 2, stride=2, bias=False), (4, 4, 4, 4)),
        (nn.ConvTranspose1d(4, 6, 3, 2, 1, output_padding=1, groups=2), (4, 5)),
        (nn.ConvTranspose2d(4, 6, 2, 2), (4, 5, 5)),
        (nn.ConvTranspose3d(4, 2, 2, 2, bias=False), (4, 2, 2, 2)),
        (nn.BatchNorm1d(4), (4,)),
        (nn.BatchNorm1d(4, affine=False), (4, 3)),
        (nn.BatchNorm3d(4, track_running_stats=False), (4, 2, 2, 2)),
        (nn.RMSNorm(6), (3, 6)),
        (nn.LayerNorm((3, 6), bias=False), (3, 6)),
        (nn.GroupNorm(2, 4), (4, 3)),
        (nn.Dropout1d(0.1), (4, 3)),
        (nn.Dropout2d(0.1), (4, 3, 3)),
        (nn.Dropout3d(0.1), (4, 2, 2, 2)),
        (nn.AlphaDropout(0.1), (4,)),
        (nn.FeatureAlphaDropout(0.1), (4, 3)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_a_layer_comes_back_as_itself(net: nn.Module, shape: tuple[int, ...]) -> None:
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = net

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.layer(x)
            return y

    model = assert_same(Holder(), torch.randn(3, *shape))
    assert kinds(model) == {"layer": type(net).__name__}
    assert repr(model.module.get_submodule("layer")) == repr(net)


@pytest.mark.parametrize(
    "net",
    [
        nn.InstanceNorm1d(4, affine=True),
        nn.GroupNorm(2, 4, affine=False),
        nn.PReLU(4),
        nn.LayerNorm(5, elementwise_affine=False),
    ],
)
def test_what_has_no_leaf_stays_a_call(net: nn.Module) -> None:
    assert not kinds(assert_same(net, torch.randn(3, 4, 5)))


class Recurrent(nn.Module):
    """Called twice, the second time from the first's state."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> tuple[object, ...]:
        out, state = self.layer(x)
        return out, state, *self.layer(x * 2, state)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize(
    "layer",
    [
        nn.LSTM(4, 6, batch_first=True),
        nn.LSTM(4, 6, 2, batch_first=True, bidirectional=True, dropout=0.2),
        nn.LSTM(4, 6, 2, bias=False, batch_first=True, proj_size=3),
        nn.GRU(4, 6, 2, batch_first=True, bidirectional=True),
        nn.GRU(4, 6, bias=False, batch_first=True),
        nn.RNN(4, 6, nonlinearity="relu", batch_first=True),
    ],
    ids=repr,
)
def test_a_recurrent_layer_stays_one_layer(layer: nn.RNNBase) -> None:
    model = assert_same(Recurrent(layer), torch.randn(3, 5, 4))
    assert kinds(model) == {"layer": type(layer).__name__}
    assert repr(model.module.get_submodule("layer")) == repr(layer)
    assert not any("zeros" in name for name in operators_of(model))


class FromOnes(nn.Module):
    """An initial state that is made as zeros and then changed is no plain zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(4, 6, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros(1, x.shape[0], 6)
        state.fill_(1.0)
        y: Tensor = self.layer(x, state)[0]
        return y


def test_a_state_that_is_not_zero_is_given() -> None:
    assert_same(FromOnes(), torch.randn(3, 5, 4))


class Cells(nn.Module):
    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.lstm, self.gru = nn.LSTMCell(8, 8, bias), nn.GRUCell(8, 8, bias)
        self.tanh, self.relu = nn.RNNCell(8, 8, bias), nn.RNNCell(8, 8, bias, nonlinearity="relu")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h, c = self.lstm(x)
        for _ in range(2):
            h, c = self.lstm(x, (h, c))
        return self.relu(self.tanh(self.gru(x, h), x), h), c


@pytest.mark.parametrize("bias", [True, False])
def test_a_cell_called_in_a_loop_keeps_one_set_of_weights(bias: bool) -> None:
    net = Cells(bias)  # as wide as a vector register, where rounding depends on the layout
    model = assert_same(net, torch.randn(9, 8))
    assert set(kinds(model).values()) == {"Linear"}
    assert sum(p.numel() for p in model.module.parameters()) == sum(p.numel() for p in net.parameters())


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.scaled_dot_product_attention(x, x, x, is_causal=True)
        q, k = y[:, None].expand(-1, 4, -1, -1), y[:, None].expand(-1, 2, -1, -1)
        y = functional.scaled_dot_product_attention(q, k, k, enable_gqa=True, scale=0.25).mean(1)
        mask = torch.ones(5, 5, dtype=torch.bool).tril()
        y = functional.scaled_dot_product_attention(y, y, y, mask)
        z: Tensor = self.heads(y, y, y, need_weights=False)[0]
        return z


def test_attention_becomes_a_leaf_with_its_scale_pinned() -> None:
    model = assert_same(Attends(), torch.randn(3, 5, 8))
    found = {path: leaf for path, leaf in model.leaves() if isinstance(leaf, Attention)}
    assert list(found) == ["attention", "attention_1", "attention_2", "heads.attention"]
    scales = [leaf.scale for leaf in found.values()]
    assert scales == [1 / 8**0.5, 0.25, 1 / 8**0.5, 1 / 4**0.5]
    assert found["attention"].causal
    assert found["attention_1"].grouped


class CallsInALoop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = functional.dropout(self.drop(x), 0.2, self.training)
        return x


def test_dropout_called_from_one_line_is_one_leaf() -> None:
    assert kinds(lifted(CallsInALoop(), torch.randn(3, 4))) == {"drop": "Dropout", "dropout": "Dropout"}


class AlwaysDrops(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, 0.5, training=True)


def test_dropout_in_evaluation_is_refused() -> None:
    with pytest.raises(ExportError, match=r"drops in evaluation too, called at .*test_leaves\.py.*self\.training"):
        lifted(AlwaysDrops(), torch.randn(3, 4))


class SharedThroughATranspose(nn.Module):
    """An autoencoder whose decoder is the encoder's transpose, and tied embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(6, 4)
        self.words, self.head = nn.Embedding(7, 6), nn.Linear(6, 7, bias=False)
        self.head.weight = self.words.weight

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = torch.relu(self.encode(self.words(tokens)))
        y: Tensor = self.head(functional.linear(hidden, self.encode.weight.t()))
        return y


def test_tied_weights_stay_tied() -> None:
    net = SharedThroughATranspose()
    model = assert_same(net, torch.randint(0, 7, (3, 5)))
    assert sum(p.numel() for p in model.module.parameters()) == sum(p.numel() for p in net.parameters())


class Standardised(nn.Conv2d):
    """Weight standardisation: the graph computes the weight that the convolution uses."""

    def forward(self, x: Tensor) -> Tensor:
        flat = self.weight.reshape(1, self.out_channels, -1)
        weight = functional.batch_norm(flat, None, None, training=True, momentum=0.0).reshape_as(self.weight)
        return functional.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class ConcatenatedBias(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(12, 4))
        self.q_bias, self.v_bias = nn.Parameter(torch.randn(4)), nn.Parameter(torch.randn(4))
        self.k_bias = nn.Buffer(torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, torch.cat([self.q_bias, self.k_bias, self.v_bias]))


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (Standardised(3, 4, 3), (3, 8, 8)),
        (ConcatenatedBias(), (4,)),
        (nn.utils.parametrizations.spectral_norm(nn.Linear(4, 5)), (4,)),
        (nn.utils.parametrizations.weight_norm(nn.Linear(4, 5)), (4,)),
    ],
    ids=["standardised", "concatenated", "spectral-norm", "weight-norm"],
)
def test_weights_that_the_graph_computes_stay_trainable(net: nn.Module, shape: tuple[int, ...]) -> None:
    net.eval()
    model = assert_same(net, torch.randn(3, *shape))
    trainable = {tuple(p.shape) for p in net.parameters() if p.requires_grad}
    assert {tuple(p.shape) for p in model.module.parameters() if p.requires_grad} == trainable


def test_a_frozen_parameter_stays_frozen() -> None:
    net = nn.Linear(4, 5)
    net.weight.requires_grad_(False)
    model = lifted(net, torch.randn(3, 4))
    assert [p.requires_grad for p in model.module.parameters()] == [False, True]
