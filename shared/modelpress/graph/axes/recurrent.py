"""The rule of recurrent leaves: LSTM, GRU and plain RNN, of any number of layers and directions.

One leaf has one hidden size for all its layers and directions, so there is one axis of hidden units: index i is unit i
of each of them. With a projection (LSTM) the units of the projection are a second axis.

Whether a removed unit was silent: with its parameters at zero a plain unit gives tanh(0) = 0, an LSTM's gates are
sigmoid(0) and its cell c' = c / 2, a GRU's state h' = h / 2. So they are zero if their first state is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import fx, nn

from modelpress.graph.axes.call import Call, Value
from modelpress.graph.axes.expr import Atom, Dims, Expr, constant, freeze, total
from modelpress.graph.axes.functional import tie
from modelpress.graph.axes.unify import unify

Recurrent = nn.LSTM | nn.GRU | nn.RNN
GATES: Mapping[type[nn.RNNBase], int] = {nn.RNN: 1, nn.GRU: 3, nn.LSTM: 4}


@dataclass(frozen=True)
class Units:
    """``hidden`` are a leaf's units; ``out`` what each gives (its projection, or itself)."""

    hidden: Expr
    out: Expr


def recurrent(call: Call) -> Value:
    """[..., input] gives the output [..., directions x out] and the last states [layers x directions, batch, out].

    A step reads what the step before it wrote, so time stays as it is.
    """
    leaf = _leaf(call)
    x = call.dims(0)
    freeze(x[_time(leaf, len(x))], f"time of {call.why}")
    units = _units(leaf)
    width = x[-1]
    for suffixes in _layers(leaf):
        for suffix in suffixes:
            _tie_cell(call, leaf, suffix, width, units)
        width = total([units.out] * len(suffixes))
    return ([*x[:-1], width], _states(call, leaf, units))


def _leaf(call: Call) -> Recurrent:
    if not isinstance(call.leaf, nn.LSTM | nn.GRU | nn.RNN):
        raise TypeError(f"{call.why} is no recurrent leaf")
    return call.leaf


def _time(leaf: Recurrent, rank: int) -> int:
    return 1 if leaf.batch_first and rank == 3 else 0


def _units(leaf: Recurrent) -> Units:
    hidden = Atom(leaf.hidden_size)
    return Units(hidden, Atom(leaf.proj_size) if leaf.proj_size else hidden)


def _layers(leaf: Recurrent) -> Iterator[list[str]]:
    """Endings of the parameters' names, one a direction, for each layer."""
    for layer in range(leaf.num_layers):
        yield [f"l{layer}", f"l{layer}_reverse"][: 1 + leaf.bidirectional]


def _tie_cell(call: Call, leaf: Recurrent, suffix: str, width: Expr, units: Units) -> None:
    """The gates of a cell are stacked in its weights: [gates x hidden, ...]."""
    stacked = total([units.hidden] * next(n for kind, n in GATES.items() if isinstance(leaf, kind)))
    tie(call, f"weight_ih_{suffix}", [stacked, width])
    tie(call, f"weight_hh_{suffix}", [stacked, units.out])
    tie(call, f"bias_ih_{suffix}", [stacked])
    tie(call, f"bias_hh_{suffix}", [stacked])
    tie(call, f"weight_hr_{suffix}", [units.out, units.hidden])


def _states(call: Call, leaf: Recurrent, units: Units) -> Value:
    """The last state, of an LSTM the last output and the last cell; tied to the first ones where they are given."""
    x = call.dims(0)
    cells = constant(leaf.num_layers * (1 + leaf.bidirectional), f"layers of {call.why}")
    batch = [x[0 if leaf.batch_first else 1]] if len(x) == 3 else []
    widths = [units.out, units.hidden] if isinstance(leaf, nn.LSTM) else [units.out]
    states: list[Dims] = [[cells, *batch, width] for width in widths]
    for state, first in zip(states, first_states(call.node), strict=False):
        for dim, given in zip(state, call.dims(first), strict=True):
            unify(given, dim, call.why)
    return tuple(states) if isinstance(leaf, nn.LSTM) else states[0]


def first_states(node: fx.Node) -> list[fx.Node]:
    """The nodes of the first states that a call is given; none are zeros."""
    given = node.args[1] if len(node.args) > 1 else None
    return [s for s in (given if isinstance(given, list | tuple) else [given]) if isinstance(s, fx.Node)]
