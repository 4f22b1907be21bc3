"""The tree of modules that a lifting grows: where a leaf or a loose tensor goes, and under which free name."""

from __future__ import annotations

from torch import Tensor, nn

from modelpress.graph import names

OWN_NAMES = ("weight", "running_mean", "weight_ih_l0")
"""First tensors of a layer: the layer stands where its owner stood."""


def clean(path: str) -> str:
    """A user's path as one of the format, in which only constraints stand under ``parametrizations``."""
    return ".".join(f"{part}_" if part == "parametrizations" else part for part in names.clean(path).split("."))


def leaf_path(tensor: str) -> str:
    """Path of the leaf whose first tensor is ``tensor``: ``fc`` for ``fc.weight``, ``kernel`` for ``kernel``."""
    prefix, _, name = tensor.rpartition(".")
    return clean(prefix if prefix and name in OWN_NAMES else tensor)


def put(root: nn.Module, path: str, module: nn.Module) -> str:
    """Add ``module`` at ``path`` or, where something stands already, at the next free ``path_k``; return where."""
    parent_path, _, name = path.rpartition(".")
    parent = _ensure(root, parent_path)
    free = _free_name(parent, name, module)
    parent.add_module(free, module)
    return f"{parent_path}.{free}" if parent_path else free


def register(root: nn.Module, path: str, tensor: Tensor) -> str:
    """Put ``tensor`` at ``path``, or at the next free one where something else stands; return where."""
    owner, _, name = path.rpartition(".")
    parent = _ensure(root, owner)
    free = _free_name(parent, name, tensor)
    if isinstance(tensor, nn.Parameter):
        parent.register_parameter(free, tensor)
    else:
        parent.register_buffer(free, tensor)
    return f"{owner}.{free}" if owner else free


def _free_name(parent: nn.Module, name: str, own: object) -> str:
    """``name``, or ``name_1``, ``name_2``... where ``parent`` has something else than ``own`` under it."""
    free, k = name, 1
    while getattr(parent, free, own) is not own:
        free, k = f"{name}_{k}", k + 1
    return free


def _ensure(root: nn.Module, path: str) -> nn.Module:
    for part in filter(None, path.split(".")):
        if not hasattr(root, part):
            root.add_module(part, nn.Module())
        root = getattr(root, part)
    return root
