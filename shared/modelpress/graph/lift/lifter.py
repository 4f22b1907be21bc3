"""Lifting: an exported aten graph becomes an ``fx.GraphModule`` whose parametrised operators are ``torch.nn`` leaves.

A call such as ``aten.conv2d(x, w, b, ...)`` whose weights are the model's own becomes a call of an ``nn.Conv2d`` at
the weight's module path; changes in place become new values; nothing names a device, nor a dtype that was only the
model's; everything else stays an enumerated call.
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
from modelpress.graph import names, operators
from modelpress.graph.document import MAX_NODES
from modelpress.graph.lift import recurrent, regions
from modelpress.graph.lift.align import Alignment
from modelpress.graph.lift.canonical import canonical
from modelpress.graph.lift.creators import CREATORS, PLACES, create, dtype_arguments, exceeds_half
from modelpress.graph.lift.dtypes import CASTS, FOLLOWS, Comparison, Misaligned, dtype_of
from modelpress.graph.lift.leaves import AFFINE, DROPOUTS, LEAVES, Leaf, attention, dropout
from modelpress.graph.lift.memory import WRITERS, changes_in_place, pure
from modelpress.graph.lift.refusals import refusal, sized_by_data
from modelpress.graph.lift.source import bound, fetch, is_owned, owner
from modelpress.graph.lift.training import carry_training
from modelpress.graph.lift.tree import clean, leaf_path, put, register
from modelpress.graph.lift.values import Values
from modelpress.graph.twin import names_dtypes

__all__ = ["DROPOUTS", "LEAVES", "Lifter"]

aten = torch.ops.aten
_SILENT = frozenset(
    {
        aten._assert_tensor_metadata.default, aten._assert_scalar.default, aten._assert_async.default,
        aten._assert_async.msg, aten.sym_constrain_range.default, aten.sym_constrain_range_for_size.default,
    }
)  # fmt: skip
"""Checks that export writes down; the graph's shapes imply them."""
_COPIES = frozenset({aten.lift_fresh_copy.default, aten.lift_fresh.default, aten.alias.default})
"""The same as their argument, now that nothing is changed in place."""


@dataclass
class Lifter:
    """One lifting: the exported module, the graph that grows, and the leaves made so far.

    ``twin`` is the same module exported at another float dtype: it tells which dtypes follow the model. Without it
    every float dtype of the graph stays as it is. ``trained`` is the train-mode export: it tells what is done only in
    training. ``notes`` tell, after `run`, what neither could carry.
    """

    source: fx.GraphModule
    momenta: Mapping[str, float | None]
    twin: fx.GraphModule | None = None
    trained: fx.GraphModule | None = None
    notes: list[str] = field(default_factory=list)
    root: nn.Module = field(default_factory=nn.Module)
    graph: fx.Graph = field(default_factory=fx.Graph)
    made: dict[Any, str] = field(default_factory=dict)
    values: Values = field(init=False)

    def run(self, out_spec: pytree.TreeSpec) -> fx.GraphModule:
        """Lift every node.

        Raises:
            ExportError: an operator that the format does not hold; names it and the user's line.
        """
        self._prepare()
        for node in self.source.graph.nodes:
            if node.op == "placeholder":
                self.values.of(node)
            elif node.op in ("call_function", "call_module"):
                self.values.lift(node)
            elif node.op == "output":
                results = [self.values.of(a) for a in node.args[0]]
                self.graph.output(pytree.tree_unflatten(results, out_spec))
        self.graph.eliminate_dead_code(lambda n: n.op not in ("call_function", "get_attr"))
        self.graph.lint()
        return fx.GraphModule(self.root, self.graph)

    def _prepare(self) -> None:
        """Rewrite the exported graph into plain calls, and let the twin tell what follows the model's dtype."""
        check_size(self.source.graph)
        _plain(self.source)
        comparison = self._compared() if names_dtypes(self.source.graph) else None
        if self.trained is not None:
            _plain(self.trained)
            self.notes += carry_training(Alignment(self.source, self.trained))
        if comparison is not None:
            comparison.apply()
        self.values = Values(self.source.graph, self.graph, self._make)

    def _compared(self) -> Comparison | None:
        fault = "it was not exported at another one"
        if self.twin is not None:
            _plain(self.twin)
            try:
                return Comparison(self.source.graph, self.twin.graph)
            except Misaligned as e:
                fault = str(e)
        self.notes.append(f"float dtypes stay as exported, since {fault}: the graph may not run in another")
        return None

    def _make(self, node: fx.Node) -> Any:
        """The new graph's counterpart of one node."""
        if node.op == "placeholder":
            taken, name = sum(n.op == "placeholder" for n in self.graph.nodes), str(node.target)
            return names.placeholder(self.graph, name if names.is_input_name(name) else f"input_{taken}")
        if node.op == "get_attr":
            at = register(self.root, clean(str(node.target)), fetch(self.source, str(node.target)))
            return self.graph.get_attr(at)
        if node.op == "call_module":  # put into the source by `carry_training`
            target = str(node.target)
            path = self._shared(target, target, lambda: self.source.get_submodule(target))
            return self.graph.call_module(path, fx.map_arg(node.args, self.values.of))
        if node.target in LEAVES:
            leaf = self._leaf(node, LEAVES[node.target])
            if leaf is not None:
                return self.graph.call_module(leaf, (self.values.of(bound(node)[LEAVES[node.target].input]),))
        return self._other(node)

    def _other(self, node: fx.Node) -> Any:
        if node.target in DROPOUTS:
            return self.graph.call_module(self._dropout(node), (self.values.of(node.args[0]),))
        if node.target is aten.scaled_dot_product_attention.default:
            return self._attention(node)
        if node.target in recurrent.KINDS:
            return self._recurrent(node)
        if node.target in CASTS:
            return self._cast(node)
        if node.target in CREATORS:
            return self._creator(node)
        return self.values.of(node.args[0]) if node.target in _COPIES else self._operator(node)

    # --- operators

    def _operator(self, node: fx.Node) -> Any:
        target = canonical(node.target)
        if (target not in operators.names() and node.target not in WRITERS) or sized_by_data(node):
            raise ExportError(refusal(node))
        args: tuple[Any, ...] = fx.map_arg(node.args, self.values.of)
        if target is operator.getitem and isinstance(args[0], tuple):
            return args[0][args[1]]
        kwargs = fx.map_arg({k: v for k, v in node.kwargs.items() if k not in PLACES}, self.values.of)
        if node.meta.get(FOLLOWS) and dtype_arguments(node):
            args, kwargs = self._without_dtype(node, args, kwargs)
        if changes_in_place(node):
            return pure(self.graph, node, args, kwargs)
        if target is aten.masked_fill.Scalar and node.meta.get(FOLLOWS) and exceeds_half(args[2:]):
            return self.graph.call_function(aten.where.ScalarSelf, (args[1], args[2], args[0]))
        return self.graph.call_function(target, args, kwargs)

    def _without_dtype(self, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """The call's arguments without a dtype that follows the model: its input has that dtype, or gets it."""
        source = node.all_input_nodes[0]
        first = args[0] if source.meta.get(FOLLOWS) else self._as_model(args[0])
        kept = tuple(None if isinstance(a, torch.dtype) else a for a in args[1:])
        return (first, *kept), {k: v for k, v in kwargs.items() if not isinstance(v, torch.dtype)}

    def _as_model(self, value: fx.Node) -> fx.Node:
        return self.graph.call_function(aten.type_as.default, (value, self.values.model_like()))

    def _cast(self, node: fx.Node) -> Any:
        source, dtype = node.all_input_nodes[0], dtype_of(node)
        value = self.values.of(source)
        if node.meta.get(FOLLOWS):
            return value if source.meta.get(FOLLOWS) else self._as_model(value)
        known = FOLLOWS in node.meta or dtype is None or not dtype.is_floating_point
        if known and dtype == dtype_of(source) and not source.meta.get(FOLLOWS):
            return value
        return self.graph.call_function(aten.to.dtype, (value, dtype))

    def _creator(self, node: fx.Node) -> fx.Node:
        arguments = {k: fx.map_arg(v, self.values.of) for k, v in bound(node).items()}
        follows = node.meta.get(FOLLOWS)
        if follows and not exceeds_half(arguments.values()):
            return create(self.graph, node.target, arguments, self.values.model_like(), None)
        made = create(self.graph, node.target, arguments, self.values.any_like(node), dtype_of(node))
        return self._as_model(made) if follows else made

    # --- leaves

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
            module = leaf.build({**arguments, **{leaf.weights[k]: t for k, t in tensors.items()}})
        if module is None:
            return None
        key = (repr(module), tuple(None if v is None else str(v.target) for v in sources.values()))
        return self._shared(key, leaf_path(str(owned[0].target)), lambda: self._filled(module, tensors, owned[0]))

    def _shared(self, key: Any, path: str, make: Callable[[], nn.Module]) -> str:
        """Path of the leaf known by ``key``; where it is new, ``make`` makes it and it goes to ``path``."""
        if key not in self.made:
            self.made[key] = put(self.root, clean(path), make().eval())
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
        return self.graph.call_module(path, tuple(self.values.of(t) for t in tensors))

    def _recurrent(self, node: fx.Node) -> tuple[fx.Node, ...]:
        weights = recurrent.weights(node)
        tensors = [fetch(self.source, str(w.target)) for w in weights]
        module = recurrent.build(node, tensors)
        named = dict(zip(module._flat_weights_names, tensors, strict=True))
        key = (repr(module), tuple(str(w.target) for w in weights))
        path = self._shared(key, leaf_path(str(weights[0].target)), lambda: self._filled(module, named, weights[0]))
        state = recurrent.initial_state(node, self.values.memory.changed)
        given = () if state is None else (fx.map_arg(state, self.values.of),)
        called = self.graph.call_module(path, (self.values.of(node.args[0]), *given))
        return recurrent.picks(self.graph, called, isinstance(module, nn.LSTM))


def check_size(graph: fx.Graph) -> None:
    """Refuse, before anything else is made of it, a graph that no file could hold."""
    if len(graph.nodes) > MAX_NODES:
        raise ExportError(
            f"the exported graph has {len(graph.nodes)} nodes, the format holds {MAX_NODES}; split the module"
        )


def _plain(module: fx.GraphModule) -> None:
    """Inline regions, expand recurrent cells, drop checks and what nobody reads."""
    regions.inline(module)
    recurrent.expand_cells(module.graph)
    for node in reversed(module.graph.nodes):
        if node.target in _SILENT:
            module.graph.erase_node(node)
    module.graph.eliminate_dead_code()


def _call_site(node: fx.Node, module: nn.Module) -> Any:
    """Two calls from one line of one module with one configuration are calls of one leaf."""
    return owner(node), repr(module), node.meta.get("stack_trace") or node.name
