"""Which float dtypes of a graph did the user's code choose, and which were only the model's?

An export at one dtype cannot tell: ``x.float()`` of a float32 model leaves the same literal as ``x.to(weight.dtype)``,
and a cast that does nothing there is skipped. So the module is exported a second time at another dtype, its *twin*,
and the graphs are compared call by call. What is float32 in both is the user's choice; what changed with the model
follows the model. Casts are taken from the twin, where they show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import fx

aten = torch.ops.aten
CASTS = frozenset(
    {aten.to.dtype, aten.to.dtype_layout, aten.to.device, aten.to.other, aten._to_copy.default, aten.type_as.default}
)
FOLLOWS = "follows the model"
"""Key in a node's ``meta``: its value's dtype changes with the model's."""


def dtype_of(node: fx.Node) -> torch.dtype | None:
    """Dtype of a node's value; None for sizes and for several values."""
    dtype = getattr(node.meta.get("val"), "dtype", None)
    return dtype if isinstance(dtype, torch.dtype) else None


class Misaligned(Exception):
    """The two graphs do not make the same calls."""


class Comparison:
    """A graph beside its twin's: which values follow the model's dtype, and which casts the twin shows.

    Raises:
        Misaligned: the module does something else at the other dtype; says what.
    """

    def __init__(self, graph: fx.Graph, twin: fx.Graph) -> None:
        ours, theirs = ([n for n in g.nodes if n.target not in CASTS] for g in (graph, twin))
        if [(n.op, n.target) for n in ours] != [(n.op, n.target) for n in theirs]:
            raise Misaligned("at another dtype the module makes other calls")
        self.graph, self.pairs = graph, list(zip(ours, theirs, strict=True))
        self.merge = _Merge(graph, {t: n for n, t in self.pairs}, _changes(self.pairs))
        self.plans = [(n, (n.args, n.kwargs), self.merge.arguments(n, t)) for n, t in self.pairs]

    def apply(self) -> None:
        """Mark what follows the model (by `FOLLOWS`) and give the graph the twin's casts.

        The graph may have got other arguments since: those stay, and calls that were put between count as their input.
        """
        for node, twin in self.pairs:
            node.meta[FOLLOWS] = _changed(dtype_of(node), dtype_of(twin))
        for node, before, after in self.plans:
            with self.graph.inserting_before(node):
                node.args, node.kwargs = self.merge.placed((node.args, node.kwargs), before, after)
        for node in self.graph.nodes:
            if FOLLOWS not in node.meta and node.all_input_nodes:
                node.meta[FOLLOWS] = node.all_input_nodes[0].meta.get(FOLLOWS, False)


def _changes(pairs: Iterable[tuple[fx.Node, fx.Node]]) -> dict[torch.dtype | None, torch.dtype | None]:
    """Our dtype for each of the twin's that weights were changed to."""
    found = {(dtype_of(t), dtype_of(n)) for n, t in pairs if n.op == "get_attr"}
    changes = [(theirs, ours) for theirs, ours in found if _changed(ours, theirs)]
    if len(dict(changes)) < len(changes):
        raise Misaligned("the module's weights have several dtypes")
    return dict(changes)


def _changed(ours: torch.dtype | None, theirs: torch.dtype | None) -> bool:
    return ours is not None and ours.is_floating_point and ours != theirs


class _Cast:
    """A cast of the twin that an argument goes through: of what of ours, to which dtype, and whether it follows."""

    def __init__(self, of: Any, dtype: torch.dtype, follows: bool) -> None:
        self.of, self.dtype, self.follows = of, dtype, follows
        self.node: fx.Node | None = None


class _Merge:
    """Our graph's arguments with the twin's casts."""

    def __init__(
        self, graph: fx.Graph, partner: Mapping[fx.Node, fx.Node], dtypes: Mapping[torch.dtype | None, Any]
    ) -> None:
        self.graph, self.partner, self.dtypes = graph, partner, dtypes
        self.casts: dict[fx.Node, _Cast] = {}

    def arguments(self, ours: fx.Node, theirs: fx.Node) -> tuple[Any, Any]:
        return self._merged(ours.args, theirs.args), self._merged(dict(ours.kwargs), dict(theirs.kwargs))

    def _merged(self, ours: Any, theirs: Any) -> Any:
        if isinstance(ours, fx.Node) and isinstance(theirs, fx.Node):
            return self._argument(ours, theirs)
        if isinstance(ours, fx.Node) or isinstance(theirs, fx.Node):
            raise Misaligned("at another dtype the module passes other arguments")
        if isinstance(ours, list | tuple) and len(ours) == len(theirs):
            return type(ours)(self._merged(a, b) for a, b in zip(ours, theirs, strict=True))
        if isinstance(ours, dict) and ours.keys() == theirs.keys():
            return {k: self._merged(v, theirs[k]) for k, v in ours.items()}
        return ours

    def _argument(self, ours: fx.Node, theirs: fx.Node) -> Any:
        if _uncast(ours) is not self.partner[_uncast(theirs)]:
            raise Misaligned("at another dtype the module computes from other values")
        return self._carried(theirs, dtype_of(ours))

    def _carried(self, theirs: fx.Node, wanted: torch.dtype | None) -> Any:
        """Our counterpart of the twin's value; ``wanted`` is the dtype that it has with us."""
        if theirs in self.partner:
            return self.partner[theirs]
        before, dtype = theirs.all_input_nodes[0], dtype_of(theirs)
        if dtype is None or wanted is None:
            raise Misaligned("the dtype of a cast is not known")
        if dtype == dtype_of(before):
            return self._carried(before, wanted)
        if theirs not in self.casts:
            between = dtype_of(before)
            inner = self._carried(before, self.dtypes.get(between, between))
            self.casts[theirs] = _Cast(inner, wanted, _changed(wanted, dtype))
        return self.casts[theirs]

    def placed(self, now: Any, before: Any, after: Any) -> Any:
        """Arguments as they are ``now``, those that are still as ``before`` replaced by those ``after``."""
        if isinstance(now, list | tuple):
            return type(now)(self.placed(*each) for each in zip(now, before, after, strict=True))
        if isinstance(now, dict):
            return {k: self.placed(v, before[k], after[k]) if k in before else v for k, v in now.items()}
        return self._node(after) if isinstance(now, fx.Node) and now is before else now

    def _node(self, value: Any) -> Any:
        """A cast as a node of our graph, made where it is first wanted."""
        if not isinstance(value, _Cast):
            return value
        if value.node is None:
            source: fx.Node = self._node(value.of)
            value.node = self.graph.call_function(aten.to.dtype, (source, value.dtype))
            value.node.meta = {**source.meta, FOLLOWS: value.follows, "val": source.meta["val"].to(value.dtype)}
        return value.node


def _uncast(node: fx.Node) -> fx.Node:
    while node.target in CASTS:
        node = node.all_input_nodes[0]
    return node
