"""Graphs written operator by operator: what lifting gives, without exporting anything."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn

from modelpress.graph.leaves import CONFIGS
from modelpress.graph.model import Model, TensorSpec

LEAVES = tuple(config.module for config in CONFIGS.values())


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, LEAVES)


def traced(net: nn.Module, *shapes: tuple[int | str, ...], **sizes: int) -> Model:
    """``net``, whose forward calls leaves and ``torch.ops.aten`` only, on float inputs of ``shapes``."""
    torch.manual_seed(0)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.5)
    graph = _Tracer().trace(net)
    names = [node.name for node in graph.nodes if node.op == "placeholder"]
    inputs = tuple(TensorSpec(name, "float32", shape) for name, shape in zip(names, shapes, strict=True))
    module = fx.GraphModule(net, graph)
    return Model(module.eval(), inputs, {"batch": 2, **sizes})


def items(value: Any, count: int) -> list[Any]:
    """The parts of a traced tuple, which cannot be unpacked."""
    return [value[i] for i in range(count)]
