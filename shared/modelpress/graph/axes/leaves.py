"""Rules of leaf modules: how a parametrised operator ties its parameters to what goes in and comes out.

Each entry also names the dimensions of ``weight``, for the names of axes: ``("out", "in")`` of a linear layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from modelpress.constraints.fake_quantize import FakeQuantize
from modelpress.graph.axes.call import Call, Value
from modelpress.graph.axes.expr import Atom, Dims, Expr, constants, freeze, mark_inexact, product
from modelpress.graph.axes.movement import Rule, same
from modelpress.graph.axes.unify import unify


@dataclass(frozen=True)
class LeafRule:
    """A leaf type's rule, and what the dimensions of its ``weight`` are called (later ones are no axes)."""

    rule: Rule
    dim_names: tuple[str, ...] = ()


def linear(call: Call) -> Value:
    x, weight = call.dims(0), _weight(call)
    unify(x[-1], weight[1], call.why)
    _tie_bias(call, weight[0])
    return [*x[:-1], weight[0]]


def convolution(call: Call) -> Value:
    """Grouped ones too: channels in are groups x inputs of a group, channels out groups x outputs of a group."""
    x, weight = call.dims(0), _weight(call)
    groups = int(call.leaf.groups)  # type: ignore[union-attr, arg-type]
    spatial = len(weight) - 2
    group, out = Atom(groups), Atom(weight[0].size // groups)
    unify(x[-spatial - 1], product([group, weight[1]]), call.why)
    unify(weight[0], product([group, out]), call.why)
    _tie_bias(call, weight[0])
    for dim in [*x[-spatial:], *weight[2:]]:
        freeze(dim, f"space of {call.why}")
    return [*x[: -spatial - 1], weight[0], *constants(call.shape[-spatial:], f"space of {call.why}")]


def batch_norm(call: Call) -> Value:
    x = call.dims(0)
    for name in ("weight", "bias", "running_mean", "running_var"):
        _tie(call, name, [x[1]])
    return x


def layer_norm(call: Call) -> Value:
    x = call.dims(0)
    normalized = x[-len(call.leaf.normalized_shape) :]  # type: ignore[union-attr, arg-type]
    for name in ("weight", "bias"):
        _tie(call, name, normalized)
    for dim in normalized:
        mark_inexact(dim, call.operator)
    return x


def group_norm(call: Call) -> Value:
    """Whole groups go exactly, the same channels of each group approximately."""
    x = call.dims(0)
    groups = int(call.leaf.num_groups)  # type: ignore[union-attr, arg-type]
    group, member = Atom(groups), Atom(x[1].size // groups)
    unify(x[1], product([group, member]), call.why)
    mark_inexact(member, call.operator)
    for name in ("weight", "bias"):
        _tie(call, name, [x[1]])
    return x


def embedding(call: Call) -> Value:
    vocabulary, features = _weight(call)
    freeze(vocabulary, "vocabulary")
    return [*call.dims(0), features]


def _weight(call: Call) -> Dims:
    weight = call.parameter("weight")
    if weight is None:
        raise TypeError(f"{call.why}: the leaf has no weight of its own")
    return weight


def _tie(call: Call, name: str, dims: Dims) -> None:
    """Equate a parameter's dimensions, where the leaf has it, with ``dims``."""
    for own, dim in zip(call.parameter(name) or [], dims, strict=False):
        unify(dim, own, call.why)


def _tie_bias(call: Call, out: Expr) -> None:
    _tie(call, "bias", [out])


LEAVES: Mapping[type[nn.Module], LeafRule] = {
    nn.Linear: LeafRule(linear, ("out", "in")),
    nn.Conv1d: LeafRule(convolution, ("out", "in")),
    nn.Conv2d: LeafRule(convolution, ("out", "in")),
    nn.Conv3d: LeafRule(convolution, ("out", "in")),
    _BatchNorm: LeafRule(batch_norm, ("features",)),
    nn.LayerNorm: LeafRule(layer_norm, ("features",)),
    nn.GroupNorm: LeafRule(group_norm, ("features",)),
    nn.Embedding: LeafRule(embedding, ("vocabulary", "features")),
    nn.Dropout: LeafRule(same),
    nn.Identity: LeafRule(same),
    FakeQuantize: LeafRule(same),
}


def leaf_rule(module: nn.Module) -> LeafRule | None:
    """The rule of a leaf's type or of the nearest type that it derives from."""
    return next((LEAVES[kind] for kind in type(module).__mro__ if kind in LEAVES), None)
