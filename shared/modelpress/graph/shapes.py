"""What flows through a graph, without computing any of it: shapes and dtypes by fake tensors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import parametrize

from modelpress.graph.model import Model

Shape = tuple[int, ...]
Shapes = Shape | list[Shape] | None
"""A tensor's shape, the shapes of a tuple of tensors, or None for a value that is no tensor."""


def shapes_of(model: Model, **sizes: int) -> dict[fx.Node, Shapes]:
    """The shapes of all nodes for `Model.examples`. The module is not touched: its tensors are replaced by fakes.

    ``sizes`` override those of the examples by symbol.
    """
    return {node: _shape(value) for node, value in fake_values(model, **sizes).items()}


def value_shapes(model: Model) -> dict[str, Shape]:
    """Shape of every node that gives one tensor, by the node's name, which a copy of the graph keeps."""
    return {node.name: shape for node, shape in shapes_of(model).items() if isinstance(shape, tuple)}


def fake_values(model: Model, **sizes: int) -> dict[fx.Node, Any]:
    """What each node gives in evaluation, with fake tensors (shape, dtype and aliasing, no memory) for tensors.

    ``sizes`` override those of `Model.examples` by symbol.
    """
    with FakeTensorMode(), torch.no_grad(), _evaluating(model.module):
        recorder = _Recorder(model.module)
        recorder.run(*(_fake(example) for example in model.examples(**sizes)))
    return recorder.values


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """In training a batch of one is an error to batch norms, and dropout makes values that evaluation has not."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


def _fake(tensor: Tensor) -> Tensor:
    """A tensor of the same shape and dtype on the CPU; under a fake mode it holds nothing."""
    return torch.empty(tensor.shape, dtype=tensor.dtype)


class _Recorder(fx.Interpreter):
    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False)
        self._fakes: dict[int, Tensor] = {}
        self.values: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        self.values[n] = super().run_node(n)
        return self.values[n]

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        owner_path, _, name = target.rpartition(".")
        owner: Any = self.module.get_submodule(owner_path)
        if parametrize.is_parametrized(owner, name):
            return self._called(owner.parametrizations[name])
        return self._of(getattr(owner, name))

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self._called(self.fetch_attr(target), *args, **kwargs)

    def _called(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        state = {name: self._of(tensor) for name, tensor in chain(module.named_parameters(), module.named_buffers())}
        return torch.func.functional_call(module, state, args, kwargs)

    def _of(self, tensor: Tensor) -> Tensor:
        """One fake a tensor, so that what is tied stays tied."""
        return self._fakes.setdefault(id(tensor), _fake(tensor))


def _shape(value: Any) -> Shapes:
    if isinstance(value, Tensor):
        return tuple(int(n) for n in value.shape)
    if isinstance(value, tuple | list) and value and all(isinstance(v, Tensor) for v in value):
        return [tuple(int(n) for n in v.shape) for v in value]
    return None
