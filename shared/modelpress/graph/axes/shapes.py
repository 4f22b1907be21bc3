"""Shapes of every value of a graph, without computing any."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx
from torch._subclasses.fake_tensor import FakeTensorMode

from modelpress.graph.model import Model

Shape = tuple[int, ...]
Shapes = Shape | list[Shape] | None
"""A tensor's shape, the shapes of a tuple of tensors, or None for a value that is no tensor."""


def shapes_of(model: Model) -> dict[fx.Node, Shapes]:
    """The shapes of all nodes for `Model.examples`. The module is not touched: its tensors are replaced by fakes."""
    mode = FakeTensorMode()
    with mode, torch.no_grad():
        recorder = _Recorder(model.module)
        recorder.run(*(_fake(example) for example in model.examples()))
    return recorder.shapes


def _fake(tensor: Tensor) -> Tensor:
    """A tensor of the same shape and dtype on the CPU; under a fake mode it holds nothing."""
    return torch.empty(tensor.shape, dtype=tensor.dtype)


class _Recorder(fx.Interpreter):
    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        named = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
        self._fakes = {name: _fake(tensor) for name, tensor in named}
        self.shapes: dict[fx.Node, Shapes] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        self.shapes[n] = _shape(value)
        return value

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self._fakes[target] if target in self._fakes else super().get_attr(target, args, kwargs)

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        leaf = self.fetch_attr(target)
        prefix = f"{target}."
        state = {name.removeprefix(prefix): fake for name, fake in self._fakes.items() if name.startswith(prefix)}
        return torch.func.functional_call(leaf, state, args, kwargs)


def _shape(value: Any) -> Shapes:
    if isinstance(value, Tensor):
        return tuple(int(n) for n in value.shape)
    if isinstance(value, tuple | list) and value and all(isinstance(v, Tensor) for v in value):
        return [tuple(int(n) for n in v.shape) for v in value]
    return None
