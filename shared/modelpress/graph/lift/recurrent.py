"""Recurrent operators: ``aten.lstm`` and its kin become one ``nn.LSTM`` each; a single cell becomes its formula."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

import torch
from torch import fx, nn

from modelpress.errors import ExportError
from modelpress.graph.lift.source import bound, is_owned, user_line

aten = torch.ops.aten
KINDS: Mapping[Any, Callable[..., nn.RNNBase]] = {
    aten.lstm.input: nn.LSTM,
    aten.gru.input: nn.GRU,
    aten.rnn_tanh.input: nn.RNN,
    aten.rnn_relu.input: nn.RNN,
}
ZEROS = (aten.zeros.default, aten.new_zeros.default, aten.zeros_like.default)


def weights(node: fx.Node) -> list[fx.Node]:
    """The call's weights, in the order of ``nn.RNNBase._flat_weights_names``.

    Raises:
        ExportError: some are computed by the graph: a recurrent leaf owns its weights.
    """
    found = bound(node)["params"]
    if not all(is_owned(w) for w in found):
        raise ExportError(
            f"{node.target} on weights that the graph computes{user_line(node)}; a recurrent layer's weights must be "
            "its own: remove their parametrization first (torch.nn.utils.parametrize.remove_parametrizations)"
        )
    return list(found)


def build(node: fx.Node, tensors: Sequence[torch.Tensor]) -> nn.RNNBase:
    """The module for a recurrent call, on the meta device, without its weights."""
    a, kind = bound(node), KINDS[node.target]
    hidden = tensors[1].shape[1]
    projected = kind is nn.LSTM and hidden * 4 != tensors[0].shape[0]
    extra: dict[str, Any] = {}
    if projected:
        hidden, extra["proj_size"] = tensors[0].shape[0] // 4, hidden
    if kind is nn.RNN:
        extra["nonlinearity"] = "relu" if node.target is aten.rnn_relu.input else "tanh"
    with torch.device("meta"):
        return kind(
            tensors[0].shape[1], hidden, a["num_layers"], bias=a["has_biases"], batch_first=a["batch_first"],
            dropout=float(a["dropout"]), bidirectional=a["bidirectional"], **extra,
        )  # fmt: skip


def initial_state(node: fx.Node, changed: Set[fx.Node]) -> Any:
    """The call's initial state: None where it is plain zeros, a node, or a list of two nodes for an LSTM.

    ``changed`` are tensors that the graph changes in place: zeros no longer.
    """
    state = bound(node)["hx"]
    nodes = state if isinstance(state, list | tuple) else [state]
    return None if all(n.target in ZEROS and n not in changed for n in nodes) else state


def picks(graph: fx.Graph, called: fx.Node, is_lstm: bool) -> tuple[fx.Node, ...]:
    """The operator's flat results (output and states) from the module's nested ones."""
    out = graph.call_function(operator.getitem, (called, 0))
    state = graph.call_function(operator.getitem, (called, 1))
    if not is_lstm:
        return out, state
    return out, *(graph.call_function(operator.getitem, (state, i)) for i in (0, 1))


def expand_cells(graph: fx.Graph) -> None:
    """Replace ``nn.LSTMCell``'s operator and its kin by their formulas, the very calls that torch makes on a CPU."""
    for node in list(graph.nodes):
        if node.target in _CELLS:
            with graph.inserting_before(node):
                _CELLS[node.target](graph, node)


def _gates(graph: fx.Graph, node: fx.Node, hidden: fx.Node) -> tuple[fx.Node, fx.Node]:
    """The input's and the state's share of the gates, before any nonlinearity."""
    a = bound(node)
    both = []
    for data, name in ((a["input"], "ih"), (hidden, "hh")):
        share = graph.call_function(aten.linear.default, (data, a[f"w_{name}"], a[f"b_{name}"]))
        share.meta = dict(node.meta)
        both.append(share)
    return both[0], both[1]


def _call(graph: fx.Graph, target: Any, *args: Any) -> fx.Node:
    return graph.call_function(target, args)


def _chunks(graph: fx.Graph, gates: fx.Node, count: int) -> list[fx.Node]:
    parts = _call(graph, aten.chunk.default, gates, count, 1)
    return [_call(graph, operator.getitem, parts, i) for i in range(count)]


def _lstm_cell(graph: fx.Graph, node: fx.Node) -> None:
    hidden, cell = bound(node)["hx"]
    of_input, of_state = _gates(graph, node, hidden)
    i, f, g, o = _chunks(graph, _call(graph, aten.add.Tensor, of_state, of_input), 4)
    i, f, o = (_call(graph, aten.sigmoid.default, gate) for gate in (i, f, o))
    kept = _call(graph, aten.mul.Tensor, f, cell)
    new_cell = _call(graph, aten.add.Tensor, kept, _call(graph, aten.mul.Tensor, i, _tanh(graph, g)))
    new_hidden = _call(graph, aten.mul.Tensor, o, _tanh(graph, new_cell))
    for user in list(node.users):
        user.replace_all_uses_with((new_hidden, new_cell)[user.args[1]])  # type: ignore[index]
        graph.erase_node(user)
    graph.erase_node(node)


def _tanh(graph: fx.Graph, x: fx.Node) -> fx.Node:
    return _call(graph, aten.tanh.default, x)


def _gru_cell(graph: fx.Graph, node: fx.Node) -> None:
    hidden = bound(node)["hx"]
    of_input, of_state = _gates(graph, node, hidden)
    # torch's sigmoids read parts of a longer row, and rows of other lengths are rounded otherwise
    both = _chunks(graph, _call(graph, aten.add.Tensor, of_state, of_input), 3)
    reset, update = (_call(graph, aten.sigmoid.default, gate) for gate in both[:2])
    ni, nh = _chunks(graph, of_input, 3)[2], _chunks(graph, of_state, 3)[2]
    new = _tanh(graph, _call(graph, aten.add.Tensor, ni, _call(graph, aten.mul.Tensor, nh, reset)))
    change = _call(graph, aten.mul.Tensor, _call(graph, aten.sub.Tensor, hidden, new), update)
    node.replace_all_uses_with(_call(graph, aten.add.Tensor, change, new))
    graph.erase_node(node)


def _rnn_cell(graph: fx.Graph, node: fx.Node) -> None:
    of_input, of_state = _gates(graph, node, bound(node)["hx"])
    shape = aten.relu.default if node.target is aten.rnn_relu_cell.default else aten.tanh.default
    node.replace_all_uses_with(_call(graph, shape, _call(graph, aten.add.Tensor, of_state, of_input)))
    graph.erase_node(node)


_CELLS = {
    aten.lstm_cell.default: _lstm_cell,
    aten.gru_cell.default: _gru_cell,
    aten.rnn_tanh_cell.default: _rnn_cell,
    aten.rnn_relu_cell.default: _rnn_cell,
}
