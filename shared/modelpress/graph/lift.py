"""Lifting: an exported aten graph becomes an ``fx.GraphModule`` whose parametrised operators are ``torch.nn`` leaves.

A call such as ``aten.conv2d(x, w, b, ...)`` whose weights are the model's own becomes a call of an ``nn.Conv2d`` at
the weight's module path; in-place operators become their pure forms; everything else stays an enumerated call.
Leaves are shared by weight and configuration, so a layer that is called many times stays one layer.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from modelpress.errors import ExportError
from modelpress.graph import lift_recurrent, names, operators
from modelpress.graph.canonical import alias_free, functional_form
from modelpress.graph.lift_leaves import AFFINE, DROPOUTS, LEAVES, Leaf, attention, dropout
from modelpress.graph.lift_source import bound, fetch, is_owned, owner, user_line
from modelpress.graph.lift_tree import leaf_path, put, register

__all__ = ["DROPOUTS", "LEAVES", "Lifter"]

aten = torch.ops.aten


@dataclass
class Lifter:
    """One lifting: the exported module, the graph that grows, and the leaves made so far."""

    source: fx.GraphModule
    momenta: Mapping[str, float | None]
    root: nn.Module = field(default_factory=nn.Module)
    graph: fx.Graph = field(default_factory=fx.Graph)
    made: dict[Any, str] = field(default_factory=dict)
    new: dict[fx.Node, Any] = field(default_factory=dict)

    def run(self, out_spec: pytree.TreeSpec) -> fx.GraphModule:
        """Lift every node.

        Raises:
            ExportError: an operator that the format does not hold; names it and the user's line.
        """
        alias_free(self.source.graph)
        lift_recurrent.expand_cells(self.source.graph)
        for node in self.source.graph.nodes:
            if node.op == "placeholder":
                self.new[node] = self._placeholder(node)
            elif node.op == "call_function":
                self.new[node] = self._call(node)
            elif node.op == "output":
                self.graph.output(pytree.tree_unflatten([self._value(a) for a in node.args[0]], out_spec))
        self.graph.eliminate_dead_code(lambda n: n.op not in ("call_function", "get_attr"))
        self.graph.lint()
        return fx.GraphModule(self.root, self.graph)

    def _placeholder(self, node: fx.Node) -> fx.Node:
        name = node.name if names.is_input_name(node.name) else f"input_{len(self.new)}"
        return self.graph.placeholder(name)

    def _call(self, node: fx.Node) -> Any:
        if node.target in LEAVES:
            path = self._leaf(node, LEAVES[node.target])
            if path is not None:
                return self.graph.call_module(path, (self._value(bound(node)[LEAVES[node.target].input]),))
        if node.target in DROPOUTS:
            return self.graph.call_module(self._dropout(node), (self._value(node.args[0]),))
        if node.target is aten.scaled_dot_product_attention.default:
            return self._attention(node)
        if node.target in lift_recurrent.KINDS:
            return self._recurrent(node)
        return self._operator(node)

    def _operator(self, node: fx.Node) -> Any:
        args: tuple[Any, ...] = fx.map_arg(node.args, self._value)
        if node.target is operator.getitem and isinstance(args[0], tuple):
            return args[0][args[1]]
        target = functional_form(node.target)
        if target not in operators.names():
            raise ExportError(f"the operator {node.target} is not in the format yet{user_line(node)}")
        return self.graph.call_function(target, args, fx.map_arg(node.kwargs, self._value))

    def _value(self, value: Any) -> Any:
        """The new graph's counterpart of an argument; a tensor of the model is fetched where it is first used."""
        if not isinstance(value, fx.Node):
            return value
        if value.op == "get_attr" and value not in self.new:
            path = register(self.root, names.clean(str(value.target)), fetch(self.source, str(value.target)))
            self.new[value] = self.graph.get_attr(path)
        return self.new[value]

    def _leaf(self, node: fx.Node, leaf: Leaf) -> str | None:
        """Path of the leaf for this call, made if it is new; None where it has none of the model's own."""
        arguments = bound(node)
        sources = {name: arguments[argument] for name, argument in leaf.weights.items()}
        owned = [v for v in sources.values() if v is not None]
        if not owned or not all(is_owned(v) for v in owned):
            return None
        tensors = {k: None if v is None else fetch(self.source, str(v.target)) for k, v in sources.items()}
        if any(t is not None and not isinstance(t, nn.Parameter) for k, t in tensors.items() if k in AFFINE):
            return None  # a fixed kernel: a leaf's weights are parameters
        with torch.device("meta"):
            given = {**arguments, **{leaf.weights[k]: t for k, t in tensors.items()}}
            module = leaf.build(given)
        if module is None:
            return None
        key = (repr(module), tuple(None if v is None else str(v.target) for v in sources.values()))
        return self._shared(key, leaf_path(str(owned[0].target)), lambda: self._filled(module, tensors, owned[0]))

    def _shared(self, key: Any, path: str, make: Callable[[], nn.Module]) -> str:
        """Path of the leaf known by ``key``; where it is new, ``make`` makes it and it goes to ``path``."""
        if key not in self.made:
            self.made[key] = put(self.root, names.clean(path), make().eval())
        return self.made[key]

    def _filled(self, module: nn.Module, tensors: Mapping[str, Tensor | None], first: fx.Node) -> nn.Module:
        for name, tensor in tensors.items():
            if tensor is not None:
                setattr(module, name, tensor)
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:
            prefix = str(first.target).rpartition(".")[0]
            counter = self.source.state_dict().get(f"{prefix}.num_batches_tracked" if prefix else "num_batches_tracked")
            module.num_batches_tracked = torch.tensor(0) if counter is None else counter
            module.momentum = self.momenta.get(prefix, module.momentum)
        return module

    def _dropout(self, node: fx.Node) -> str:
        path, kind = owner(node)
        module = dropout(node, kind)
        at = path if path and kind == type(module).__name__ else f"{path}.dropout".lstrip(".")
        return self._shared(_call_site(node, module), at, lambda: module)

    def _attention(self, node: fx.Node) -> fx.Node:
        module = attention(node)
        path = self._shared(_call_site(node, module), f"{owner(node)[0]}.attention".lstrip("."), lambda: module)
        a = bound(node)
        tensors = [a["query"], a["key"], a["value"], *([a["attn_mask"]] if a["attn_mask"] is not None else [])]
        return self.graph.call_module(path, tuple(self._value(t) for t in tensors))

    def _recurrent(self, node: fx.Node) -> tuple[fx.Node, ...]:
        weights = lift_recurrent.weights(node)
        tensors = [fetch(self.source, str(w.target)) for w in weights]
        module = lift_recurrent.build(node, tensors)
        named = dict(zip(module._flat_weights_names, tensors, strict=True))
        key = (repr(module), tuple(str(w.target) for w in weights))
        path = self._shared(key, leaf_path(str(weights[0].target)), lambda: self._filled(module, named, weights[0]))
        state = lift_recurrent.initial_state(node)
        given = () if state is None else (fx.map_arg(state, self._value),)
        called = self.graph.call_module(path, (self._value(node.args[0]), *given))
        return lift_recurrent.picks(self.graph, called, isinstance(module, nn.LSTM))


def _call_site(node: fx.Node, module: nn.Module) -> Any:
    """Two calls from one line of one module with one configuration are calls of one leaf."""
    return owner(node), repr(module), node.meta.get("stack_trace") or node.name
