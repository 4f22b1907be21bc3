"""Comparing a graph with the user's module: outputs, gradients, and what a training step does to the statistics.

Outputs that are bit-equal prove nothing about training (a straight-through estimator exports with a zero gradient),
so gradients are compared too.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree


def flat_outputs(value: object) -> list[Tensor]:
    """Tensors of a nested output, in order."""
    return [t for t in pytree.tree_leaves(value) if isinstance(t, Tensor)]


def output_difference(a: nn.Module, b: nn.Module, inputs: Sequence[Tensor]) -> str:
    """Empty where the outputs of ``a`` and ``b`` (in their present modes) are bit-equal, else what differs."""
    with torch.no_grad():
        ours, theirs = (flat_outputs(m(*(x.clone() for x in inputs))) for m in (b, a))
    if len(ours) != len(theirs):
        return f"{len(ours)} outputs instead of {len(theirs)}"
    for i, (x, y) in enumerate(zip(ours, theirs, strict=True)):
        if x.shape != y.shape:
            return f"output {i} has shape {tuple(x.shape)} instead of {tuple(y.shape)}"
        if not torch.equal(x, y):
            return f"output {i} differs by {float((x - y).abs().max()):.3g}"
    return ""


def gradients(module: nn.Module, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
    """Gradient of the outputs' fixed random projection by parameter name; the module's own ``.grad`` is untouched."""
    named = {n: p for n, p in module.named_parameters() if p.requires_grad}
    floats = [o for o in flat_outputs(module(*(x.clone() for x in inputs))) if o.is_floating_point()]
    generator = torch.Generator().manual_seed(0)
    total = sum(((o * torch.randn(o.shape, generator=generator)).sum() for o in floats), torch.zeros(()))
    if not total.requires_grad:
        return {}
    found = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    return {n: g for n, g in zip(named, found, strict=True) if g is not None}


def gradient_differences(net: nn.Module, graph: nn.Module, inputs: Sequence[Tensor]) -> list[str]:
    """A note for each parameter of ``net`` whose gradient the graph does not reproduce bit for bit, or does not use."""
    theirs, ours = gradients(net, inputs), gradients(graph, inputs)
    by_value = list(ours.values())
    notes = []
    for name, gradient in theirs.items():
        same = ours.get(name)
        if same is None:
            same = next((g for g in by_value if g.shape == gradient.shape and torch.equal(g, gradient)), None)
        if same is None or not torch.equal(same, gradient):
            notes.append(f"the gradient of '{name}' is not carried (a custom autograd function?)")
    unused = [n for n, p in net.named_parameters() if p.requires_grad and n not in theirs]
    if unused:
        notes.append(f"unused by the eval graph and left out: {', '.join(unused)}")
    return notes


def training_difference(net: nn.Module, graph: nn.Module, inputs: Sequence[Tensor]) -> list[str]:
    """A note where a training-mode call with the same random state gives other outputs or batch statistics."""
    try:
        return _compare_training(net, graph, inputs)
    except Exception as e:  # the user's own code raises what it likes in a mode that the graph does not need
        return [f"in training mode the module raises {type(e).__name__}: {e}; its behaviour there was not compared"]


def _compare_training(net: nn.Module, graph: nn.Module, inputs: Sequence[Tensor]) -> list[str]:
    with torch.random.fork_rng(devices=[]):
        results = []
        for module in (net, graph):
            trial = copy.deepcopy(module).train()
            torch.manual_seed(0)
            with torch.no_grad():
                outputs = flat_outputs(trial(*(x.clone() for x in inputs)))
            results.append((outputs, dict(trial.named_buffers())))
    (theirs, their_stats), (ours, our_stats) = results
    same = all(x.shape == y.shape and torch.equal(x, y) for x, y in zip(ours, theirs, strict=False))
    same = same and all(torch.equal(t, our_stats[n]) for n, t in their_stats.items() if n in our_stats)
    return [] if same else ["in training mode the graph gives other outputs or batch statistics than the module"]
