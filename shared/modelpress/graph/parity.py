"""Comparing a graph with the user's module: outputs, gradients, and what a training step does to the statistics.

Outputs that are bit-equal prove nothing about training (a straight-through estimator exports with a zero gradient),
so gradients are compared too. Nothing here copies weights, and the user's module is left as it was.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from modelpress.errors import ExportError
from modelpress.graph import names
from modelpress.graph.inputs import Inputs
from modelpress.graph.model import BATCH
from modelpress.graph.outputs import Leaf, plain

Digest = tuple[torch.Size, int]


def check_outputs(net: nn.Module, graph: nn.Module, inputs: Inputs) -> list[str]:
    """Compare outputs bit for bit at the examples' sizes, at batch 1 and ``2 n + 1``, and each other symbol resized.

    Returns a note for each symbol that the module itself takes at no other size that was tried.

    Raises:
        ExportError: the graph gives another output than the module, at the sizes that it names.
    """
    _compare_outputs(net, graph, inputs)
    notes = []
    for symbol, size in inputs.sizes.items():
        others = [[1], [2 * size + 1]] if symbol == BATCH else [[size + 1, size - 1, 2 * size, size // 2]]
        for tried in others:
            if not any(_holds_at(net, graph, inputs, symbol, n) for n in tried if n > 0):
                sizes = ", ".join(map(str, tried))
                notes.append(f"the module itself does not run with {symbol} {sizes} ({size} in its example)")
    return notes


def _holds_at(net: nn.Module, graph: nn.Module, inputs: Inputs, symbol: str, size: int) -> bool:
    """False where the module itself refuses that size (positions run out, indices point beyond the end)."""
    resized = inputs.resized(**{symbol: size})
    try:
        with torch.no_grad():
            _run(net, resized)
    except Exception:  # the user's own code raises what it likes at sizes that it does not take
        return False
    _compare_outputs(net, graph, resized)
    return True


def _compare_outputs(net: nn.Module, graph: nn.Module, inputs: Inputs) -> None:
    with torch.no_grad():
        theirs = plain(_run(net, inputs)).leaves()
        try:
            difference = _difference(theirs, plain(graph(*inputs.flat())).leaves())
        except Exception as e:  # whatever an operator raises where the module itself runs
            difference = f"it raises {type(e).__name__}: {e}"
    if difference:
        sizes = ", ".join(f"{symbol} {n}" for symbol, n in inputs.sizes.items())
        raise ExportError(f"the graph of {type(net).__name__} gives another output at {sizes}: {difference}")


def _run(net: nn.Module, inputs: Inputs) -> Any:
    args, kwargs = inputs.arguments()
    return net(*args, **kwargs)


def _difference(theirs: Mapping[str, Leaf], ours: Mapping[str, Leaf]) -> str:
    if theirs.keys() != ours.keys():
        return f"outputs {list(ours)} instead of {list(theirs)}"
    for path, x in theirs.items():
        told = _leaf_difference(x, ours[path])
        if told:
            return f"output {path} {told}" if path else told
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


def gradient_notes(net: nn.Module, graph: nn.Module, inputs: Inputs) -> list[str]:
    """A note for each parameter of ``net`` whose gradient the graph does not reproduce bit for bit, or does not use."""
    theirs = _gradient_digests(net, partial(_run, net, inputs))
    ours = _gradient_digests(graph, lambda: graph(*inputs.flat()))
    known = set(ours.values())
    notes = []
    for name, digest in theirs.items():
        if ours.get(names.clean(name)) != digest and digest not in known:
            notes.append(f"the gradient of '{name}' is not carried (a custom autograd function?)")
    unused = [n for n, p in net.named_parameters() if p.requires_grad and n not in theirs]
    if unused:
        notes.append(f"unused by the eval graph and left out: {', '.join(unused)}")
    return notes


def _gradient_digests(module: nn.Module, call: Any) -> dict[str, Digest]:
    """Shape and checksum of the gradient of the outputs' fixed random projection, by parameter.

    Each gradient is dropped as soon as it is summed up, so that never all of them are in memory.
    """
    found: dict[str, Digest] = {}
    named = {n: p for n, p in module.named_parameters() if p.requires_grad}
    with _without_gradients(list(named.values())), torch.enable_grad():
        total = _projection(plain(call()).tensors())
        if not total.requires_grad:
            return {}
        handles = [
            p.register_post_accumulate_grad_hook(partial(_record, found, n))  # type: ignore[no-untyped-call]
            for n, p in named.items()
        ]
        try:
            torch.autograd.backward(total, inputs=list(named.values()))
        finally:
            for handle in handles:
                handle.remove()
    return found


def _record(found: dict[str, Digest], name: str, parameter: Tensor) -> None:
    gradient = parameter.grad
    assert gradient is not None
    dense = gradient.detach().to_dense() if gradient.is_sparse else gradient.detach()
    found[name] = (dense.shape, _checksum(dense))
    parameter.grad = None


def _checksum(tensor: Tensor) -> int:
    """Adding zero makes -0.0 and 0.0 one."""
    return zlib.crc32((tensor + 0.0).cpu().contiguous().view(-1).view(torch.uint8).numpy().data)


def _projection(outputs: Mapping[str, Tensor]) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros(())
    for _, output in sorted(outputs.items()):
        if output.is_floating_point():
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


def training_notes(net: nn.Module, graph: nn.Module, inputs: Inputs) -> list[str]:
    """A note where a training-mode call with the same random state gives other outputs or batch statistics.

    Outputs that are nested otherwise in training (auxiliary heads) are not compared.
    """
    try:
        theirs, their_buffers = _train_once(net, lambda: _run(net, inputs))
    except Exception as e:  # the user's own code raises what it likes in a mode that the graph does not need
        return [f"in training mode the module raises {type(e).__name__}: {e}; its behaviour there was not compared"]
    ours, our_buffers = _train_once(graph, lambda: graph(*inputs.flat()))
    told = _difference(theirs, ours) if theirs.keys() == ours.keys() else ""
    if told:
        return [f"in training mode with the same random state the graph's {told}"]
    for name, buffer in their_buffers.items():
        if not _equal(buffer, our_buffers.get(names.clean(name), buffer)):
            return [f"in training mode the graph gives other batch statistics: '{name}' differs"]
    return []


def _train_once(module: nn.Module, call: Any) -> tuple[dict[str, Leaf], dict[str, Tensor]]:
    """Outputs of a training-mode call, and the buffers after it, which are then put back."""
    devices = {p.device for p in module.parameters() if p.device.type == "cuda"}
    with _kept(module), torch.random.fork_rng(devices=devices), torch.no_grad():
        torch.manual_seed(0)
        outputs = plain(call()).leaves()
        return outputs, {name: buffer.clone() for name, buffer in module.named_buffers()}


@contextmanager
def _kept(module: nn.Module) -> Iterator[None]:
    """Training mode inside; modes and buffers as they were after it."""
    modes = {part: part.training for part in module.modules()}
    buffers = {part: {n: (b, b.clone()) for n, b in part._buffers.items() if b is not None} for part in modes}
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
