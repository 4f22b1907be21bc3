"""Shapes of the values in a graph, by running it once on an example."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from modelpress.graph.model import Model


class _Shapes(fx.Interpreter):
    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.found: dict[str, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.found[n.name] = tuple(value.shape)
        return value


@torch.no_grad()
def value_shapes(model: Model, batch: int = 2) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor in ``model``'s graph by the name of its node, for ``batch`` samples."""
    interpreter = _Shapes(model.module)
    interpreter.run(*model.examples(batch))
    return interpreter.found
