"""The user's module is left as it was, whatever the calls that an export makes of it change."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import nn


@contextmanager
def as_it_was(net: nn.Module) -> Iterator[list[str]]:
    """Training modes and plain attributes are put back; yields notes on those that calls change, once it is left.

    Attention takes its ordinary path inside, since the fused one is no operator of ours.
    """
    paths = {module: path for path, module in net.named_modules()}
    modes = {module: module.training for module in paths}
    attributes = {module: _plain_attributes(module) for module in paths}
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    notes: list[str] = []
    try:
        yield notes
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for module, path in paths.items():
            changed = _restore(module, attributes[module])
            module.training = modes[module]
            if changed:
                where = f"'{path}'" if path else "the module"
                notes.append(f"a call changes {', '.join(changed)} of {where}; a call of the graph does not")


@contextmanager
def contiguous_weights(net: nn.Module) -> Iterator[None]:
    """Transposed, sliced and expanded weights are contiguous inside, as those of a file are.

    How a product rounds depends on it, so the module would differ from its stored graph by the last bit.
    """
    tensors = [t for t in chain(net.parameters(), net.buffers()) if not (t.is_sparse or t.is_contiguous())]
    data = [tensor.data for tensor in tensors]
    try:
        for tensor in tensors:
            tensor.data = tensor.data.contiguous()
        yield
    finally:
        for tensor, own in zip(tensors, data, strict=True):
            tensor.data = own


def _plain_attributes(module: nn.Module) -> dict[str, tuple[Any, Any]]:
    """What the user's code keeps on a module: each value, and a copy of it where it is a list, a dict or a set."""
    own = vars(nn.Module()).keys()
    return {
        name: (value, copy.copy(value) if isinstance(value, list | dict | set) else value)
        for name, value in vars(module).items()
        if name not in own
    }


def _restore(module: nn.Module, before: dict[str, tuple[Any, Any]]) -> list[str]:
    """Put plain attributes back; names of those that had changed."""
    now = _plain_attributes(module)
    changed = [name for name in now if name not in before]
    for name in changed:
        delattr(module, name)
    for name, (value, content) in before.items():
        if name not in now or not _same(now[name][0], content):
            changed.append(name)
        if isinstance(value, list):
            value[:] = content
        elif isinstance(value, dict | set):
            value.clear()
            value.update(content)
        vars(module)[name] = value
    return changed


def _same(a: Any, b: Any) -> bool:
    """Whether two values are one object, equal numbers or text, or containers of such; exports copy containers."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(_same(x, b[key]) for key, x in a.items())
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return isinstance(a, int | float | complex | str | bytes | set | frozenset) and bool(a == b)
