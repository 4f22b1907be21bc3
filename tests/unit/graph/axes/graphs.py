"""Graphs written by hand, operator by operator, so that a test says exactly which overload with which arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from modelpress.graph.model import Model, TensorSpec

aten = torch.ops.aten
BATCH = 2


class Graph:
    """A graph that is run while it is built; ``x`` [batch, 4] is its input, ``batch`` the size of that."""

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.graph = fx.Graph()
        self.root = nn.Module()
        self.x = self.graph.placeholder("x")
        self._values: dict[fx.Node, Any] = {self.x: torch.randn(BATCH, 4)}
        self.batch = self.call(aten.sym_size.int, self.x, 0)

    def value(self, node: fx.Node) -> Any:
        return self._values[node]

    def shape(self, node: fx.Node) -> list[int]:
        return list(self.value(node).shape)

    def call(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> fx.Node:
        node = self.graph.call_function(target, args, kwargs)
        self._values[node] = target(*fx.map_arg(args, self.value), **fx.map_arg(kwargs, self.value))
        return node

    def linear(self, x: fx.Node, width: int, name: str = "") -> fx.Node:
        """A new linear layer over the last dimension."""
        return self.leaf(nn.Linear(self.shape(x)[-1], width), name or f"linear_{len(self._values)}", x)

    def leaf(self, leaf: nn.Module, name: str, *args: fx.Node) -> fx.Node:
        self.root.add_module(name, leaf)
        node = self.graph.call_module(name, args)
        with torch.no_grad():
            self._values[node] = leaf(*map(self.value, args))
        return node

    def tensor(self, tensor: Tensor) -> fx.Node:
        """A buffer, or a parameter where it is one."""
        name = f"tensor_{len(self._values)}"
        if isinstance(tensor, nn.Parameter):
            self.root.register_parameter(name, tensor)
        else:
            self.root.register_buffer(name, tensor)
        node = self.graph.get_attr(name)
        self._values[node] = tensor
        return node

    def flat(self, x: fx.Node) -> fx.Node:
        """[batch, everything else]."""
        return self.call(aten.reshape.default, x, [self.batch, self.value(x).numel() // BATCH])

    def model(self, out: fx.Node) -> Model:
        """In double precision, so that a mistake stands out from rounding."""
        self.graph.output(out)
        self.graph.lint()
        module = fx.GraphModule(self.root, self.graph).double().eval()
        return Model(module, (TensorSpec("x", "float64", ("batch", 4)),))


def between(move: Callable[[Graph, fx.Node], fx.Node], width: int = 12) -> Model:
    """``move`` between two linear layers ``before`` (``width`` features out) and ``after``."""
    graph = Graph()
    moved = move(graph, graph.linear(graph.x, width, "before"))
    return graph.model(graph.linear(graph.flat(moved), 3, "after"))
