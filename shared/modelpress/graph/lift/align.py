"""Which node of a train-mode export is which node of the eval-mode export of the same module.

Both graphs trace the same code, so a node is known by the module whose ``forward`` made it, the line of code, and the
operator; where one line runs several times, by its arguments and else by order.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from modelpress.graph.lift.canonical import functional_form
from modelpress.graph.lift.dtypes import CASTS, dtype_of
from modelpress.graph.lift.source import owner
from modelpress.graph.lift.train_only import Wrapper, wrapper

aten = torch.ops.aten
COPIES = frozenset({aten.contiguous.default, aten.clone.default, aten.alias.default})
Place = tuple[str, str, str]


class Alignment:
    """The two graphs, side by side.

    ``partner`` maps nodes of the train graph to nodes of the eval graph with the same value; the partner of a wrapper
    (dropout, stochastic depth) that only the train graph has is that of the value that it hands on. ``anchors`` says
    after which eval node each call of the train graph comes. ``train_only`` and ``eval_only`` are tensors that the
    other graph does not compute.
    """

    def __init__(self, evaluated: fx.GraphModule, trained: fx.GraphModule) -> None:
        self.evaluated, self.trained = evaluated, trained
        self.partner: dict[fx.Node, fx.Node] = _sources(evaluated, trained)
        self.wrappers: dict[fx.Node, Wrapper] = {}
        self.anchors: dict[fx.Node, fx.Node] = {}
        self._waiting: dict[Place, list[fx.Node]] = defaultdict(list)
        for node in evaluated.graph.nodes:
            if node.op == "call_function" and through(node) is node:
                self._waiting[_place(node)].append(node)
        self._align()
        self.train_only = [n for n in self.anchors if through(n) not in self.partner and is_tensor(n)]
        self.eval_only = [n for nodes in self._waiting.values() for n in nodes if is_tensor(n)]

    def _align(self) -> None:
        order = {node: i for i, node in enumerate(self.evaluated.graph.nodes)}
        last = self.evaluated.graph.find_nodes(op="placeholder")[-1]
        for node in self.trained.graph.nodes:
            if node.op == "call_function":
                self._match(node)
                if node in self.partner and node not in self.wrappers:
                    last = max(last, self.partner[node], key=order.__getitem__)
                self.anchors[node] = last

    def _match(self, node: fx.Node) -> None:
        """The first eval node left in its place that agrees best; one that only the train graph has may wrap."""
        if through(node) is not node:
            return
        left = self._waiting[_place(node)]
        best = max(left, key=lambda other: self._agreement(node, other), default=None)
        if best is not None and self._agreement(node, best):
            left.remove(best)
            self.partner[node] = best
        elif (found := wrapper(node)) is not None:
            self.wrappers[node] = found
            if through(found.base) in self.partner:
                self.partner[node] = self.partner[through(found.base)]

    def _agreement(self, node: fx.Node, other: fx.Node) -> int:
        """2 where all arguments that are nodes are partners, 1 where some have none, 0 where one has another."""
        ours, theirs = flat_arguments(node), flat_arguments(other)
        pairs = [(through(a), through(b)) for a, b in zip(ours, theirs, strict=False) if isinstance(a, fx.Node)]
        if any(self.partner.get(a, b) is not b for a, b in pairs):
            return 0
        known = len(ours) == len(theirs) and all(a in self.partner for a, _ in pairs)
        return 2 if known else int(is_tensor(node))


def through(value: Any) -> Any:
    """What a value is a copy of: layouts differ between the two modes, and with them the copies that are made."""
    while isinstance(value, fx.Node) and (value.target in COPIES or _is_idle_cast(value)):
        value = value.args[0]
    return value


def _is_idle_cast(node: fx.Node) -> bool:
    return node.target in CASTS and dtype_of(node) == dtype_of(node.args[0])  # type: ignore[arg-type]


def flat_arguments(node: fx.Node) -> list[Any]:
    return pytree.tree_leaves((node.args, dict(sorted(node.kwargs.items()))))


def is_tensor(node: fx.Node) -> bool:
    """Whether a node computes tensors, and not a size or an assertion."""
    return any(isinstance(v, Tensor) for v in pytree.tree_leaves(node.meta.get("val")))


def _place(node: fx.Node) -> Place:
    """The module and line of code that a call comes from, and its operator."""
    trace = [line.strip() for line in (node.meta.get("stack_trace") or "").splitlines()]
    line = next((line for line in reversed(trace) if line.startswith("File ")), "")
    return owner(node)[0], line, str(functional_form(node.target))


def _sources(evaluated: fx.GraphModule, trained: fx.GraphModule) -> dict[fx.Node, fx.Node]:
    """Partners of the train graph's inputs and weights."""
    sources = {(n.op, n.target): n for n in evaluated.graph.nodes if n.op in ("placeholder", "get_attr")}
    found = {node: sources[node.op, node.target] for node in trained.graph.nodes if (node.op, node.target) in sources}
    return {
        node: other
        for node, other in found.items()
        if node.op == "placeholder" or _same_value(evaluated, trained, str(node.target))
    }


def _same_value(a: fx.GraphModule, b: fx.GraphModule, path: str) -> bool:
    """Weights are one object in both; constants that an export made are numbered anew, so they are compared."""
    x, y = (_attribute(module, path) for module in (a, b))
    if isinstance(x, Tensor) and isinstance(y, Tensor):
        return x is y or (x.shape == y.shape and x.dtype == y.dtype and torch.equal(x, y))
    return type(x) is type(y)


def _attribute(module: fx.GraphModule, path: str) -> Any:
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part)
    return value
