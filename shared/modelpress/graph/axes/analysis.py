"""Which parameter dimensions move together: the axes of a model, by one walk over its graph."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import fx, nn

from modelpress.constraints.stack import Tie, shape_of, tensors_of, tie_of
from modelpress.errors import InputError
from modelpress.graph.axes.axis import Axes
from modelpress.graph.axes.call import Call, Computed, Contraction, Value
from modelpress.graph.axes.compute import COMPUTE, elementwise
from modelpress.graph.axes.exactness import mark_contractions
from modelpress.graph.axes.expr import Atom, Dims
from modelpress.graph.axes.frozen import FROZEN, freeze_inputs, frozen_value
from modelpress.graph.axes.indexing import INDEXING
from modelpress.graph.axes.leaves import leaf_rule
from modelpress.graph.axes.movement import MOVEMENT, Rule, item
from modelpress.graph.axes.pieces import PIECES
from modelpress.graph.axes.repeating import REPEATING
from modelpress.graph.axes.resampling import RESAMPLING
from modelpress.graph.axes.sizes import freeze_mixed, telling_shapes
from modelpress.graph.model import Model
from modelpress.graph.shapes import Shapes

OPERATORS: Mapping[Any, Rule] = {
    **MOVEMENT,
    **PIECES,
    **REPEATING,
    **INDEXING,
    **RESAMPLING,
    **COMPUTE,
    **FROZEN,
    operator.getitem: item,
}


def analyse(model: Model) -> Axes:
    """The axes of ``model``: every input dimension is frozen, so is what no rule speaks for.

    Costs one pass over the graph without computing any value. Tensors under constraints go by the user's own names
    (``conv1.weight``), whatever is stored of them.
    """
    walk = _Walk(model)
    walk.run()
    return Axes(walk.parameters, {node.name: value for node, value in walk.values.items()}, tuple(_named_dims(model)))


class _Walk:
    """Dimensions of every value, by the rule of each node in turn."""

    def __init__(self, model: Model) -> None:
        self.module = model.module
        self.shapes: Mapping[fx.Node, Shapes] = telling_shapes(model)
        self.parameters = _parameter_dims(model.module)
        self.values: dict[fx.Node, Value] = {}
        self.contractions: list[Contraction] = []
        self.computed: list[Computed] = []

    def run(self) -> None:
        for node in self.module.graph.nodes:
            self.values[node] = self._value(node)
        freeze_mixed(self.computed)
        mark_contractions(self.module, self.values, self.contractions)

    def _value(self, node: fx.Node) -> Value:
        if node.op == "placeholder":
            return frozen_value(self.shapes[node], "input")
        if node.op == "output":
            freeze_inputs(node, self.values, "output")
            return None
        if node.op == "get_attr":
            return self.parameters.get(str(node.target)) or frozen_value(self.shapes[node], "constant")
        return self._called(node)

    def _called(self, node: fx.Node) -> Value:
        leaf = self.module.get_submodule(str(node.target)) if node.op == "call_module" else None
        call = Call(node, self.shapes, self.values, self.parameters, self.contractions, leaf, self.computed)
        rule = rule_of(node, leaf)
        if rule is not None:
            return rule(call)
        why = f"no rule for {call.why}"
        freeze_inputs(node, self.values, why)
        return frozen_value(self.shapes[node], why)


def rule_of(node: fx.Node, leaf: nn.Module | None) -> Rule | None:
    """The rule of a leaf's type or of an operator: its own, or the one of all that torch tags as pointwise."""
    if leaf is not None:
        found = leaf_rule(leaf)
        return found.rule if found is not None else None
    if node.target in OPERATORS:
        return OPERATORS[node.target]
    pointwise = isinstance(node.target, torch._ops.OpOverload) and torch.Tag.pointwise in node.target.tags
    return elementwise if pointwise else None


def _parameter_dims(module: fx.GraphModule) -> dict[str, Dims]:
    """Fresh atoms for every parameter and buffer; names that share a tensor share them."""
    by_tie: dict[Tie, Dims] = {}
    named = tensors_of(module).items()
    return {name: by_tie.setdefault(tie_of(*owner), [Atom(n) for n in shape_of(*owner)]) for name, owner in named}


def _named_dims(model: Model) -> Iterator[tuple[str, str, int]]:
    """Base name, parameter and dimension of what may be an axis, in graph order: ``("fc.out", "fc.weight", 0)``."""
    seen: Counter[str] = Counter()
    for node in model.module.graph.nodes:
        target = str(node.target)
        if node.op not in ("get_attr", "call_module") or seen[target]:
            continue
        seen[target] += 1
        if node.op == "call_module":
            rule = leaf_rule(model.module.get_submodule(target))
            for named in rule.named if rule is not None else ():
                yield f"{target}.{named.name}", f"{target}.{named.parameter}", named.dim
        else:
            tensor = _tensor(model.module, target)
            yield from ((f"{target}.{dim}", target, dim) for dim in range(len(tensor.shape)))


def _tensor(module: nn.Module, path: str) -> torch.Tensor:
    owner, _, name = path.rpartition(".")
    tensor = getattr(module.get_submodule(owner), name)
    if not isinstance(tensor, torch.Tensor):
        raise InputError(f"'{path}' is a {type(tensor).__name__}, not a tensor")
    return tensor
