"""Comparing a graph with the user's module: outputs, gradients, and what a training step does to the statistics.

Outputs that are bit-equal prove nothing about training (a straight-through estimator exports with a zero gradient),
so gradients are compared too. Nothing here copies weights, and the user's module is left as it was.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from modelpress.errors import ExportError
from modelpress.graph import names
from modelpress.graph.inputs import Inputs
from modelpress.graph.lift.source import raised_at
from modelpress.graph.model import BATCH
from modelpress.graph.outputs import Leaf, plain

Leaves = Mapping[str, Leaf]
Digest = tuple[torch.Size, int]
"""Shape and checksum of a gradient."""
CHANGES: tuple[Callable[[int], int], ...] = (
    lambda n: n + 1,
    lambda n: max(n - 1, 1),
    lambda n: 2 * n,
    lambda n: max(n // 2, 1),
)
"""Other sizes of a dynamic dimension, tried in turn: positions run out, and indices point beyond the end."""


def compare(net: nn.Module, graph: nn.Module, inputs: Inputs) -> list[str]:
    """Compare a graph with the module that it came from, both in evaluation mode; return notes on what differs.

    Outputs must be equal bit for bit at the examples' sizes, at batch 1, and at batch ``2 n + 1`` with every other
    symbol resized too. Notes name parameters whose gradient differs, and what training does otherwise.

    Raises:
        ExportError: the graph gives another output than the module, at the sizes that it names.
    """
    notes = _compare_gradients(net, graph, inputs)
    for tried in _resizings(inputs):
        notes += _compare_outputs(net, graph, [inputs.resized(**sizes) for sizes in tried])
    return notes + _compare_training(net, graph, inputs)


def _run(net: nn.Module, inputs: Inputs) -> Leaves:
    args, kwargs = inputs.arguments()
    return plain(net(*args, **kwargs)).leaves()


def _run_graph(graph: nn.Module, inputs: Inputs) -> Leaves:
    return plain(graph(*inputs.flat())).leaves()


# --- outputs


def _resizings(inputs: Inputs) -> Iterator[list[dict[str, int]]]:
    """Sizes to compare at, in each list the first that the module takes."""
    others = {symbol: n for symbol, n in inputs.sizes.items() if symbol != BATCH}
    batch = {BATCH: 2 * inputs.sizes[BATCH] + 1} if BATCH in inputs.sizes else {}
    if batch:
        yield [{BATCH: 1}]
    if others:
        yield [{**batch, **{symbol: change(n) for symbol, n in others.items()}} for change in CHANGES]
    elif batch:
        yield [batch]


def _compare_outputs(net: nn.Module, graph: nn.Module, tried: list[Inputs]) -> list[str]:
    with torch.no_grad():
        for inputs in tried:
            theirs = _run_if_taken(net, inputs)
            if theirs is not None:
                _check_equal(net, inputs, theirs, lambda inputs=inputs: _run_graph(graph, inputs))  # type: ignore[misc]
                return []
    return [f"the module itself does not run at {_sizes(tried[0])}; the graph was not compared there"]


def _run_if_taken(net: nn.Module, inputs: Inputs) -> Leaves | None:
    try:
        return _run(net, inputs)
    except Exception:  # the user's own code raises what it likes at sizes that it does not take
        return None


def _check_equal(net: nn.Module, inputs: Inputs, theirs: Leaves, ours: Callable[[], Leaves]) -> None:
    try:
        difference = _difference(theirs, ours())
    except Exception as e:  # whatever an operator raises where the module itself runs
        difference = f"it raises {type(e).__name__}: {e}"
    if difference:
        raise ExportError(f"the graph of {type(net).__name__} gives another output at {_sizes(inputs)}: {difference}")


def _sizes(inputs: Inputs) -> str:
    return ", ".join(f"{symbol} {n}" for symbol, n in inputs.sizes.items()) or "its examples"


def _difference(theirs: Leaves, ours: Leaves) -> str:
    if theirs.keys() != ours.keys():
        return f"outputs {list(ours)} instead of {list(theirs)}"
    for path, x in theirs.items():
        told = _leaf_difference(x, ours[path])
        if told:
            return f"output {path} {told}" if path else f"it {told}"
    return ""


def _leaf_difference(x: Leaf, y: Leaf) -> str:
    if not isinstance(x, Tensor) or not isinstance(y, Tensor):
        return "" if type(x) is type(y) and x == y else f"is {y!r} instead of {x!r}"
    if x.shape != y.shape or x.dtype != y.dtype:
        return f"is {y.dtype} {list(y.shape)} instead of {x.dtype} {list(x.shape)}"
    return "" if _equal(x, y) else f"differs by {float((x.double() - y.double()).abs().max()):.3g}"


def _equal(x: Tensor, y: Tensor) -> bool:
    """Bit for bit, but all NaN are one."""
    return torch.equal(x, y) or bool(((x == y) | ((x != x) & (y != y))).all())


# --- gradients


def _compare_gradients(net: nn.Module, graph: nn.Module, inputs: Inputs) -> list[str]:
    """Outputs must be equal; a note for each parameter whose gradient the graph does not reproduce, or does not use."""
    try:
        outputs, theirs = _backward(net, lambda: _run_examples(net, inputs))
    except GradientError as e:
        fails = f"the module's own backward raises {e}; gradients were not compared"
        return [fails, *_compare_outputs(net, graph, [inputs])]
    ours: dict[str, Digest] = {}

    def run() -> Leaves:
        found, digests = _backward(graph, lambda: _run_graph(graph, inputs))
        ours.update(digests)
        return found

    _check_equal(net, inputs, outputs, run)
    known = set(ours.values())
    differ = [n for n, digest in theirs.items() if ours.get(names.clean(n)) != digest and digest not in known]
    notes = [f"the gradient of '{name}' is not carried (a custom autograd function?)" for name in differ]
    unused = [n for n, p in net.named_parameters() if p.requires_grad and n not in theirs]
    unused += _fixed_and_left_out(net, graph)
    return [*notes, f"unused by the eval graph and left out: {', '.join(unused)}"] if unused else notes


def _fixed_and_left_out(net: nn.Module, graph: nn.Module) -> list[str]:
    """Buffers, and parameters that are not trained, which the graph has under no name."""
    ours = [*graph.named_parameters(remove_duplicate=False), *graph.named_buffers(remove_duplicate=False)]
    kept = {name for name, _ in ours}
    fixed = [*((n, p) for n, p in net.named_parameters() if not p.requires_grad), *net.named_buffers()]
    missing = [(name, tensor) for name, tensor in fixed if names.clean(name) not in kept]
    return [n for n, t in missing if not any(o.shape == t.shape and torch.equal(o, t) for _, o in ours)]


class GradientError(Exception):
    """The gradient of a module's outputs cannot be computed."""


def _run_examples(net: nn.Module, inputs: Inputs) -> Leaves:
    try:
        return _run(net, inputs)
    except Exception as e:  # the user's own code: values that an export, which has shapes only, does not see
        told = f"{type(net).__name__} raises {type(e).__name__} on its example inputs{raised_at(e)}: {e}"
        raise ExportError(told) from e


def _backward(module: nn.Module, call: Callable[[], Leaves]) -> tuple[dict[str, Leaf], dict[str, Digest]]:
    """Outputs, and what the gradient of their fixed random projection is for each parameter that has one.

    Each gradient is dropped as soon as it is summed up: never are all of them in memory.

    Raises:
        GradientError: from the backward pass; it says what was raised.
    """
    found: dict[str, Digest] = {}
    named = {n: p for n, p in module.named_parameters() if p.requires_grad}
    with _without_gradients(list(named.values())), torch.enable_grad():
        outputs = call()
        total = _projection(outputs)
        if total.requires_grad:
            handles = [
                p.register_post_accumulate_grad_hook(partial(_record, found, n))  # type: ignore[no-untyped-call]
                for n, p in named.items()
            ]
            try:
                torch.autograd.backward(total, inputs=list(named.values()))
            except Exception as e:  # whatever an operator or the user's own autograd.Function raises
                raise GradientError(f"{type(e).__name__}: {e}") from e
            finally:
                for handle in handles:
                    handle.remove()
    return {path: x.detach() if isinstance(x, Tensor) else x for path, x in outputs.items()}, found


def _record(found: dict[str, Digest], name: str, parameter: Tensor) -> None:
    gradient = parameter.grad
    assert gradient is not None
    dense = gradient.detach().to_dense() if gradient.is_sparse else gradient.detach()
    found[name] = (dense.shape, zlib.crc32(dense.cpu().contiguous().view(-1).view(torch.uint8).numpy().data))
    parameter.grad = None


def _projection(outputs: Leaves) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros(())
    for _, output in sorted(outputs.items()):
        if isinstance(output, Tensor) and output.is_floating_point():
            noise = torch.randn(output.shape, generator=generator).to(output.device, output.dtype)
            total = total.to(output.device) + (output * noise).sum()
    return total


@contextmanager
def _without_gradients(parameters: list[nn.Parameter]) -> Iterator[None]:
    """Put the parameters' own ``.grad`` aside."""
    own = [p.grad for p in parameters]
    try:
        for p in parameters:
            p.grad = None
        yield
    finally:
        for p, gradient in zip(parameters, own, strict=True):
            p.grad = gradient


# --- training


def _compare_training(net: nn.Module, graph: nn.Module, inputs: Inputs) -> list[str]:
    """A note where a training-mode call with the same random state gives other outputs or batch statistics.

    Outputs that are nested otherwise in training (auxiliary heads) are not compared.
    """
    try:
        theirs, their_buffers = _train_once(net, lambda: _run(net, inputs))
    except Exception as e:  # the user's own code raises what it likes in a mode that the graph does not need
        return [f"in training mode the module raises {type(e).__name__}: {e}; its behaviour there was not compared"]
    ours, our_buffers = _train_once(graph, lambda: _run_graph(graph, inputs))
    difference = _difference(theirs, ours) if theirs.keys() == ours.keys() else ""
    if difference:
        return [f"in training mode, at the same random state, the graph gives another output: {difference}"]
    for name, buffer in their_buffers.items():
        if not _equal(buffer, our_buffers.get(names.clean(name), buffer)):
            return [f"in training mode the graph gives other batch statistics: '{name}' differs"]
    return []


def _train_once(module: nn.Module, call: Callable[[], Leaves]) -> tuple[Leaves, dict[str, Tensor]]:
    """Outputs of a training-mode call, and the buffers after it, which are then put back."""
    devices = {p.device for p in module.parameters() if p.device.type == "cuda"}
    with _kept(module), torch.random.fork_rng(devices=devices), torch.no_grad():
        torch.manual_seed(0)
        outputs = call()
        return outputs, {name: buffer.clone() for name, buffer in module.named_buffers()}


@contextmanager
def _kept(module: nn.Module) -> Iterator[None]:
    """Training mode inside; modes and buffers as they were after it."""
    modes = {part: part.training for part in module.modules()}
    buffers: dict[Any, dict[str, tuple[Tensor, Tensor]]] = {
        part: {name: (b, b.clone()) for name, b in part._buffers.items() if b is not None} for part in modes
    }
    try:
        module.train()
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
            for name, (buffer, value) in buffers[part].items():
                part._buffers[name] = buffer
                with torch.no_grad():
                    buffer.copy_(value)
