"""Values of an exported graph's nodes in the graph that grows: made once, or again where memory was changed."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from torch import fx

from modelpress.errors import ExportError
from modelpress.graph.lift.creators import from_nothing
from modelpress.graph.lift.dtypes import FOLLOWS, dtype_of
from modelpress.graph.lift.memory import Memory, changes_in_place, written_back
from modelpress.graph.lift.source import user_line


class Values:
    """What each node of ``source`` is in ``graph``; ``make`` gives the value of a node that has none yet."""

    def __init__(self, source: fx.Graph, graph: fx.Graph, make: Callable[[fx.Node], Any]) -> None:
        self.source, self.graph, self.make = source, graph, make
        self.memory = Memory(source)
        self.waiting = from_nothing(source, self.memory.changed)
        self.made: dict[fx.Node, Any] = {}
        self.fresh: dict[fx.Node, tuple[int, Any]] = {}
        self.versions: dict[fx.Node, int] = {}
        self.latest: fx.Node | None = None
        self.model_inputs, self.model_tensors = (
            [n for n in source.nodes if n.op == op and n.meta.get(FOLLOWS)] for op in ("placeholder", "get_attr")
        )

    def lift(self, node: fx.Node) -> None:
        """Make a node's value, unless it can wait for its first reader."""
        if changes_in_place(node):
            self._change(node)
        elif node not in self.waiting:
            self.of(node)

    def of(self, value: Any) -> Any:
        """The new graph's counterpart of an argument."""
        if not isinstance(value, fx.Node):
            return value
        if value in self.memory.changed:
            return self._current(value)
        if value not in self.made:
            self.made[value] = self._remember(value, self.make(value))
        return self.made[value]

    def _remember(self, node: fx.Node, value: Any) -> Any:
        if isinstance(value, fx.Node):
            value.meta.setdefault("stack_trace", node.meta.get("stack_trace"))
            if node.meta.get(FOLLOWS):
                self.latest = value
        return value

    def _current(self, node: fx.Node) -> Any:
        """The value, as of now, of a tensor whose memory some call changes: a view of an older value is made again."""
        version = self.versions.get(self.memory.base(node), 0)
        known = self.fresh.get(node)
        if known is not None and known[0] == version:
            return known[1]
        value = self.of(node.args[0]) if changes_in_place(node) else self._remember(node, self.make(node))
        self.fresh[node] = version, value
        return value

    def _change(self, node: fx.Node) -> None:
        """A change in place: the changed tensor, and what it is a view of, get new values."""
        whole, base = node.args[0], self.memory.base(node)
        assert isinstance(whole, fx.Node)
        if base.op == "get_attr":
            raise ExportError(
                f"{node.target} changes a tensor of the model itself in evaluation ({base.target}){user_line(node)}; "
                "change it only where self.training is True, or make it an input and an output"
            )
        changed = {whole: self._remember(node, self.make(node))}
        if self.memory.read_later(node):
            changed |= self._whole(whole, changed[whole])
        self.versions[base] = self.versions.get(base, 0) + 1
        self.fresh |= {n: (self.versions[base], v) for n, v in changed.items()}

    def _whole(self, view: fx.Node, value: Any) -> dict[fx.Node, Any]:
        """New values of all that ``view`` is a view of, now that it is ``value``."""
        values = {}
        while view in self.memory.parent:
            parent = self.memory.parent[view]
            if view.target is operator.getitem:
                parent = self.memory.parent[parent]
            value = written_back(self.graph, view, self.of(parent), value)
            values[parent] = value
            view = parent
        return values

    def model_like(self) -> fx.Node:
        """A tensor whose dtype is the model's: an input, else the latest activation, else one of the model's own."""
        if not self.model_inputs and self.latest is not None:
            return self.latest
        like: fx.Node = self.of((self.model_inputs or self.model_tensors)[0])
        return like

    def any_like(self, node: fx.Node) -> fx.Node:
        """A tensor of the graph, whatever its dtype."""
        for op in ("placeholder", "get_attr"):
            for candidate in self.source.nodes:
                if candidate.op == op and dtype_of(candidate) is not None:
                    like: fx.Node = self.of(candidate)
                    return like
        raise ExportError(f"{node.target} makes a tensor in a module that has none{user_line(node)}; give it an input")
