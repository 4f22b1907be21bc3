"""Models in code, named as ``module:callable`` or ``timm:NAME``, and in ``.pt2`` archives."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelpress.client.samples import Dynamic, Sample, examples_of
from modelpress.client.user_code import required_arguments, user_frames
from modelpress.errors import InputError, MissingExtraError, NotFoundError, nearest

if TYPE_CHECKING:
    from torch import Tensor, nn

TIMM = "timm:"


def is_archive(source: str) -> bool:
    """Whether ``source`` is a ``.pt2`` archive, by its ending or because it is a file, and no ``module:callable``."""
    return source.endswith(".pt2") or Path(source).is_file()


@dataclass(frozen=True)
class Loaded:
    """A module to compress and what it is exported with: see `modelpress.graph.export.export`."""

    net: nn.Module
    example_inputs: Any
    dynamic: Dynamic | None = None


def load_source(source: str, samples: Sequence[Sample] = (), *, pretrained: bool = True) -> Loaded:
    """A module from ``module:callable`` (importable from the working directory) or, with its weights, ``timm:NAME``.

    The callable takes no arguments and returns a ``torch.nn.Module``, or a pair of one and its example inputs: a tensor
    ``[batch, ...]``, a sequence or a mapping. ``samples`` go before the callable's own examples; torchvision's networks
    need neither. Without ``pretrained`` timm's come with random weights, for which nothing is fetched.

    Raises:
        NotFoundError: there is no such module or callable.
        InputError: ``source`` is no such name, the callable fails or returns something else, or no example is known.
        MissingExtraError: timm is not installed.
    """
    import torch

    made = _timm(source.removeprefix(TIMM), pretrained) if source.startswith(TIMM) else _call(source)
    net, examples = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(net, torch.nn.Module):
        raise InputError(f"{source} returned a {type(net).__name__}, not a torch.nn.Module or (module, example_inputs)")
    if samples:
        return Loaded(net, *examples_of(samples))
    if examples is None:
        examples = _published_images(net)
    if examples is None:
        raise InputError(
            f"{source} returned no example inputs: say the shape of one sample with --input 1,28,28, "
            "or return (module, example_inputs)"
        )
    return Loaded(net, examples)


def _published_images(net: nn.Module) -> Tensor | None:
    """Images of the size that a network of torchvision was published for; None for any other."""
    if not type(net).__module__.startswith("torchvision.models."):
        return None
    side = 299 if type(net).__name__ == "Inception3" else 224
    return Sample("", (3, side, side)).example()


def _timm(name: str, pretrained: bool) -> tuple[nn.Module, Tensor]:
    """A model of timm, and images of the size that it was trained on."""
    try:
        import timm
    except ImportError as e:
        raise MissingExtraError("timm:NAME needs timm, which is not installed: pip install timm") from e
    if not timm.is_model(name):
        raise NotFoundError(f"timm has no model '{name}': {nearest(name, timm.list_models())}")
    try:
        net = timm.create_model(name, pretrained=pretrained)
    except Exception as e:  # no network, no weights of that name: whatever the hub's client raises
        raise InputError(
            f"timm cannot load '{name}'{' with its weights' if pretrained else ''}: {type(e).__name__}: {e}"
        ) from e
    return net, Sample("", tuple(net.pretrained_cfg["input_size"])).example()


def _call(source: str) -> Any:
    function = _find(source)
    needed = required_arguments(function)
    if needed:
        names = ", ".join(f"'{name}'" for name in needed)
        raise InputError(f"{source} needs {names}, and is called without arguments: name a function that gives them")
    try:
        return function()
    except Exception as e:  # the user's own code: whatever it raises is theirs to read
        raise InputError(f"{source}() raised {type(e).__name__}: {e}{user_frames(e)}") from e


def _find(source: str) -> Callable[[], Any]:
    module_name, colon, name = source.partition(":")
    if not colon or not module_name or not name:
        raise InputError(f"'{source}' names no model: expected module:callable, as in my_models:build, or timm:NAME")
    module = _import(module_name)
    function = getattr(module, name, None)
    if function is None:
        callables = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        raise NotFoundError(f"{module_name} has no '{name}': {nearest(name, callables)}")
    if not callable(function):
        raise InputError(f"{source} is a {type(function).__name__}, not a callable that returns a module")
    found: Callable[[], Any] = function
    return found


def _import(name: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as e:
        if e.name is not None and (name == e.name or name.startswith(f"{e.name}.")):
            raise NotFoundError(f"there is no module '{name}' in {here} or among what is installed") from e
        needs = f"it needs '{e.name}', which is not installed"
        raise InputError(f"module '{name}' cannot be imported: {needs}{user_frames(e)}") from e
    except Exception as e:  # the user's own code
        raise InputError(f"module '{name}' cannot be imported: {type(e).__name__}: {e}{user_frames(e)}") from e
