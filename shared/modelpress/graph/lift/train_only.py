"""What only a train graph has and a leaf of ours does: dropout behind ``if self.training``, and stochastic depth.

Both hand on their input, changed at random; in evaluation there is nothing in their place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from modelpress.graph.behaviour import StochasticDepth
from modelpress.graph.lift.canonical import functional_form
from modelpress.graph.lift.leaves import DROPOUTS
from modelpress.graph.lift.source import bound, owner

aten = torch.ops.aten
EMPTY = (aten.empty.memory_format, aten.new_empty.default)
UNIFORM = (aten.rand.default,)
DEPTH_CLASSES = ("StochasticDepth", "DropPath")


@dataclass(frozen=True)
class Noise:
    """Random zeros and ones: how many are ones, whether drawn once a batch, and divided by ``keep``; by which nodes."""

    keep: float
    by_batch: bool
    rescale: bool
    nodes: tuple[fx.Node, ...]


@dataclass(frozen=True)
class Wrapper:
    """A node of the train graph that hands on ``base``; ``noise`` is None for dropout."""

    node: fx.Node
    base: fx.Node
    noise: Noise | None

    def nodes(self) -> Iterator[fx.Node]:
        yield self.node
        yield from self.noise.nodes if self.noise else ()

    def insert(self, module: fx.GraphModule, base: fx.Node, after: fx.Node) -> fx.Node:
        """Put the like into the graph of ``module``, on ``base``."""
        with module.graph.inserting_after(after):
            if self.noise is None:
                rate = float(self.node.args[1])  # type: ignore[arg-type]
                made = module.graph.call_function(functional_form(self.node.target), (base, rate, False))
            else:
                leaf = StochasticDepth(1.0 - self.noise.keep, self.noise.by_batch, self.noise.rescale)
                made = module.graph.call_module(_place(module, self.node, leaf), (base,))
        made.meta.update(self.node.meta)
        made.meta["val"] = torch.empty_like(base.meta["val"])  # memory of its own: it is no view
        return made


def wrapper(node: fx.Node) -> Wrapper | None:
    """What ``node`` hands on and how, None for any other call. It is known that only the train graph has it."""
    if node.target in DROPOUTS and node.args[2] is True and isinstance(node.args[0], fx.Node):
        return Wrapper(node, node.args[0], None)
    if functional_form(node.target) is not aten.mul.Tensor:
        return None
    a, b = node.args[0], node.args[1]
    for base, factor in ((a, b), (b, a)):
        noise = _noise(factor)
        if noise is not None and isinstance(base, fx.Node):
            return _undivided(node, base, noise)
    return None


def _undivided(node: fx.Node, base: fx.Node, noise: Noise) -> Wrapper:
    """``x / keep * noise`` is written as often as ``x * (noise / keep)``."""
    if functional_form(base.target) is aten.div.Tensor and base.args[1] == noise.keep:
        inner = base.args[0]
        assert isinstance(inner, fx.Node)
        return Wrapper(node, inner, Noise(noise.keep, noise.by_batch, True, (*noise.nodes, base)))
    return Wrapper(node, base, noise)


def _noise(node: Any) -> Noise | None:
    """``bernoulli_(empty(shape), keep)`` or ``floor(rand(shape) + keep)``, perhaps divided by ``keep``."""
    if not isinstance(node, fx.Node) or node.op != "call_function":
        return None
    target, source = functional_form(node.target), node.args[0] if node.args else None
    if target is aten.div.Tensor:
        inner = _noise(source)
        rescales = inner is not None and inner.keep == node.args[1]
        return Noise(inner.keep, inner.by_batch, True, (*inner.nodes, node)) if inner and rescales else None
    if node.target is aten.bernoulli_.float:
        return _drawn(source, bound(node)["p"], EMPTY, (node,))
    if target is not aten.floor.default or not isinstance(source, fx.Node):
        return None
    is_sum = functional_form(source.target) is aten.add.Tensor
    return _drawn(source.args[0], source.args[1], UNIFORM, (node, source)) if is_sum else None


def _drawn(source: Any, keep: Any, creators: tuple[Any, ...], nodes: tuple[fx.Node, ...]) -> Noise | None:
    """Noise of shape [batch, 1, 1, ...] or [1, 1, ...], of any rank."""
    if not isinstance(source, fx.Node) or source.target not in creators or not isinstance(keep, float):
        return None
    shape = bound(source)["size"]
    if not shape or any(n != 1 for n in shape[1:]):
        return None
    return Noise(keep, shape[0] == 1, False, (*nodes, source))


def _place(module: fx.GraphModule, node: fx.Node, leaf: StochasticDepth) -> str:
    """Add ``leaf`` where the user's stochastic depth stands, else under the module whose code has it; say where."""
    path, kind = owner(node)
    wanted = path if path and kind.endswith(DEPTH_CLASSES) else f"{path}.stochastic_depth".lstrip(".")
    free, k = wanted, 1
    while type(there := _submodule(module, free)) is not nn.Module and there is not None:
        if repr(there) == repr(leaf):
            return free  # one module that is called again
        free, k = f"{wanted}_{k}", k + 1
    module.add_submodule(free, leaf)
    return free


def _submodule(module: fx.GraphModule, path: str) -> nn.Module | None:
    try:
        return module.get_submodule(path)
    except AttributeError:
        return None
