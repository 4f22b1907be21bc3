"""Which parameter dimensions move together: the axes of a model, by one walk over its graph."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import torch
from torch import fx, nn
from torch.nn.utils import parametrize

from modelpress.errors import InputError
from modelpress.graph.axes.axis import Axes
from modelpress.graph.axes.call import Call, Contraction, Value, tensors
from modelpress.graph.axes.compute import COMPUTE, elementwise
from modelpress.graph.axes.exactness import mark_contractions
from modelpress.graph.axes.expr import Atom, Dims, constants, freeze
from modelpress.graph.axes.leaves import leaf_rule
from modelpress.graph.axes.movement import MOVEMENT, Rule, item
from modelpress.graph.model import Model
from modelpress.graph.shapes import Shapes, shapes_of

OPERATORS: Mapping[Any, Rule] = {**MOVEMENT, **COMPUTE, operator.getitem: item}


def analyse(model: Model) -> Axes:
    """The axes of ``model``: every input dimension is frozen, so is what no rule speaks for.

    Costs one pass over the graph without computing any value.

    Raises:
        InputError: a leaf is parametrized (pruned or quantized weights that are not final yet).
    """
    _refuse_parametrized(model)
    walk = _Walk(model)
    walk.run()
    return Axes(walk.parameters, {node.name: value for node, value in walk.values.items()}, tuple(_named_dims(model)))


def _refuse_parametrized(model: Model) -> None:
    for path, leaf in model.leaves():
        if parametrize.is_parametrized(leaf):
            raise InputError(
                f"'{path}' is under a constraint ({', '.join(leaf.parametrizations)}); finalize it before its "  # type: ignore[arg-type]
                "structure is changed"
            )


class _Walk:
    """Dimensions of every value, by the rule of each node in turn."""

    def __init__(self, model: Model) -> None:
        self.module = model.module
        self.shapes: Mapping[fx.Node, Shapes] = shapes_of(model)
        self.parameters = _parameter_dims(model.module)
        self.values: dict[fx.Node, Value] = {}
        self.contractions: list[Contraction] = []

    def run(self) -> None:
        for node in self.module.graph.nodes:
            self.values[node] = self._value(node)
        mark_contractions(self.module, self.values, self.contractions)

    def _value(self, node: fx.Node) -> Value:
        if node.op == "placeholder":
            return self._fresh(node, "input")
        if node.op == "output":
            return self._freeze_inputs(node, "output")
        if node.op == "get_attr":
            return self.parameters.get(str(node.target)) or self._fresh(node, "constant")
        return self._called(node)

    def _called(self, node: fx.Node) -> Value:
        leaf = self.module.get_submodule(str(node.target)) if node.op == "call_module" else None
        call = Call(node, self.shapes, self.values, self.parameters, self.contractions, leaf)
        rule = rule_of(node, leaf)
        if rule is not None:
            return rule(call)
        return self._freeze_inputs(node, f"no rule for {call.why}")

    def _freeze_inputs(self, node: fx.Node, why: str) -> Value:
        for source in node.all_input_nodes:
            for dim in chain.from_iterable(tensors(self.values[source])):
                freeze(dim, why)
        return self._fresh(node, why)

    def _fresh(self, node: fx.Node, why: str) -> Value:
        """Frozen dimensions of the node's shape."""
        shapes = self.shapes[node]
        if isinstance(shapes, list):
            return tuple(constants(shape, why) for shape in shapes)
        return None if shapes is None else constants(shapes, why)


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
    by_tensor: dict[int, Dims] = {}
    named = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    return {name: by_tensor.setdefault(id(tensor), [Atom(n) for n in tensor.shape]) for name, tensor in named}


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
