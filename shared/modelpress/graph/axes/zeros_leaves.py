"""How zeros flow through each type of leaf: the counterpart of the leaves' rules."""

from __future__ import annotations

from collections.abc import Mapping

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from modelpress.constraints.fake_quantize import FakeQuantize
from modelpress.graph.axes.expr import Dims, atoms
from modelpress.graph.axes.recurrent import first_states
from modelpress.graph.axes.zero_flow import NOWHERE, Follow, Part, ZeroFlow, Zeros, broadcast, of_factors
from modelpress.graph.axes.zeros import passes
from modelpress.graph.behaviour import Attention, StochasticDepth


def writes(at: int) -> Follow:
    """A layer with weights is zero where they are, along dimension ``at`` of what it writes."""

    def follow(node: fx.Node, flow: ZeroFlow) -> Zeros:
        out = flow.dims(node)
        if getattr(flow.leaf(node), "weight", None) is None:
            return NOWHERE
        return frozenset(atoms(out[at])) - _atoms_but(out, at % len(out))

    return follow


def attention(node: fx.Node, flow: ZeroFlow) -> Zeros:
    """An average of values: zero where they are, apart from the places that it is taken over."""
    out, value = flow.dims(node), node.all_input_nodes[2]
    has = broadcast(flow.dims(value), out) - {len(out) - 2}
    return of_factors(out, [Part(flow.zeros[value], has)])


def recurrent(node: fx.Node, flow: ZeroFlow) -> Zeros:
    """What units give and their cells, see `modelpress.graph.axes.recurrent`."""
    value = flow.values[node]
    out = value[0] if isinstance(value, tuple) and isinstance(value[0], list) else []
    states = first_states(node)
    leaf = flow.leaf(node)
    found = frozenset(flow.count(node)) - _atoms_but(out, len(out) - 1)
    if isinstance(leaf, nn.RNN) or not states:
        return found
    silent = flow.zeros[states[-1]]
    written = frozenset(atoms(out[-1])) if isinstance(leaf, nn.LSTM) and leaf.proj_size else NOWHERE
    return found & (silent | written)


def _atoms_but(out: Dims, at: int) -> Zeros:
    return frozenset(atom for i, dim in enumerate(out) if i != at for atom in atoms(dim))


LEAVES: Mapping[type[nn.Module], Follow] = {
    nn.Linear: writes(-1),
    nn.Conv1d: writes(-2),
    nn.Conv2d: writes(-3),
    nn.Conv3d: writes(-4),
    nn.ConvTranspose1d: writes(-2),
    nn.ConvTranspose2d: writes(-3),
    nn.ConvTranspose3d: writes(-4),
    _BatchNorm: writes(1),
    nn.GroupNorm: writes(1),
    nn.LayerNorm: writes(-1),
    nn.RMSNorm: writes(-1),
    nn.Embedding: writes(-1),
    nn.RNN: recurrent,
    nn.LSTM: recurrent,
    nn.GRU: recurrent,
    Attention: attention,
    StochasticDepth: passes,
    _DropoutNd: passes,
    nn.Identity: passes,
    FakeQuantize: passes,
}
