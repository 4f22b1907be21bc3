"""What tests of lifting share: lift a module's eval export, and compare it with the module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from modelpress.graph.inputs import read_inputs
from modelpress.graph.lift.lifter import Lifter
from modelpress.graph.model import Model
from modelpress.graph.serialise import load, save
from modelpress.graph.trace import trace


def lifted(net: nn.Module, *inputs: Tensor) -> Model:
    """Exported in evaluation with a dynamic batch, lifted, saved and loaded."""
    read = read_inputs(net, inputs, None)
    traced = trace(net.eval(), read)
    module = Lifter(traced.module, {}).run(traced.structure)
    stored = save(Model(module.eval(), read.specs(), read.stored_sizes()))
    return load(stored.graph_json, stored.tensors)


def flat(value: Any) -> list[Tensor]:
    return [t for t in pytree.tree_leaves(value) if isinstance(t, Tensor)]


def gradients(module: nn.Module, call: Callable[[], Any]) -> dict[str, Tensor]:
    """Gradients of a fixed random projection of the outputs, by parameter."""
    named = {n: p for n, p in module.named_parameters() if p.requires_grad}
    outputs = [o for o in flat(call()) if o.is_floating_point() and o.requires_grad]
    if not outputs:
        return {}
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(o.shape, generator=generator).to(o.dtype) for o in outputs]
    found = torch.autograd.grad(outputs, list(named.values()), weights, allow_unused=True)
    return {n: g for n, g in zip(named, found, strict=True) if g is not None}


def assert_same(net: nn.Module, *inputs: Tensor) -> Model:
    """Outputs and gradients of the lifted ``net`` are bit-equal to its own, at this batch and at another."""
    model = lifted(net.eval(), *inputs)
    for batch in (inputs, tuple(torch.cat([x, x[:1]]) for x in inputs)):
        ours, theirs = flat(model.module(*(x.clone() for x in batch))), flat(net(*(x.clone() for x in batch)))
        assert [o.dtype for o in ours] == [t.dtype for t in theirs]
        assert all(torch.equal(o, t) for o, t in zip(ours, theirs, strict=True))
    mine = gradients(model.module, lambda: model.module(*(x.clone() for x in inputs)))
    wanted = gradients(net, lambda: net(*(x.clone() for x in inputs)))
    assert len(mine) == len(wanted)
    for name, gradient in wanted.items():
        assert any(torch.equal(gradient, g) for g in mine.values() if g.shape == gradient.shape), name
    assert sum(p.numel() for p in model.module.parameters()) <= sum(p.numel() for p in net.parameters())
    return model


def kinds(model: Model) -> dict[str, str]:
    """Leaves by path: class names."""
    return {path: type(leaf).__name__ for path, leaf in model.leaves()}


def operators_of(model: Model) -> set[str]:
    return {str(n.target) for n in model.module.graph.nodes if n.op == "call_function"}
