"""The exported module of an archive, as lifting reads it: tensors by path, a graph, and regions with their own."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, fx, nn

from modelpress.errors import ModelFormatError
from modelpress.graph import names


class Source(nn.Module):
    """An exported module without code: it has a graph to be read, and is never called."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        """Register ``tensors`` in modules under this one, by their cleaned paths.

        Raises:
            ModelFormatError: a path that is none, or that stands where another tensor or module is.
        """
        super().__init__()
        self.graph = fx.Graph()
        for name, tensor in tensors.items():
            _register(self, name, tensor)

    def add_region(self, region: fx.GraphModule) -> str:
        """Hold ``region``; return under which name."""
        k = len(self._modules)
        while hasattr(self, f"region_{k}"):
            k += 1
        self.add_module(f"region_{k}", region)
        return f"region_{k}"


def cleaned(path: str) -> str:
    """``path`` as it may stand in a graph.

    Raises:
        ModelFormatError: it is no path, or too deep.
    """
    clean = names.clean(path)
    if not names.is_path(clean):
        raise ModelFormatError(f"the tensor's path {path[:120]!r} is none, or too long or deep")
    return clean


def _register(root: nn.Module, name: str, tensor: Tensor) -> None:
    path, _, last = cleaned(name).rpartition(".")
    owner = root
    for part in filter(None, path.split(".")):
        if part not in owner._modules:
            _check_free(owner, part, name)
            owner.add_module(part, nn.Module())
        owner = owner.get_submodule(part)
    _check_free(owner, last, name)
    if isinstance(tensor, nn.Parameter):
        owner.register_parameter(last, tensor)
    else:
        owner.register_buffer(last, tensor)


def _check_free(owner: nn.Module, part: str, name: str) -> None:
    if hasattr(owner, part):
        raise ModelFormatError(f"the tensor {name[:120]!r} stands where another tensor or module is")
