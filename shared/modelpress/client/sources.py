"""Models in the user's own code, named as ``module:callable``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelpress.errors import InputError, NotFoundError, nearest

if TYPE_CHECKING:
    from torch import Tensor, nn


def is_archive(source: str) -> bool:
    """Whether ``source`` is a ``.pt2`` archive, by its ending or because it is a file, and no ``module:callable``."""
    return source.endswith(".pt2") or Path(source).is_file()


def load_source(source: str, input_shape: Sequence[int] | None = None) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Call ``module:callable`` (importable from the working directory, no arguments) for a module to compress.

    The callable returns a ``torch.nn.Module``, or a pair of one and its example inputs ``[batch, ...]``.
    ``input_shape`` is the shape of one float32 sample without the batch; it goes before the callable's own examples.

    Raises:
        NotFoundError: there is no such module or callable.
        InputError: ``source`` is no such name, the callable fails or returns something else, or no example is known.
    """
    import torch

    made = _call(source)
    net, examples = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(net, torch.nn.Module):
        raise InputError(f"{source} returned a {type(net).__name__}, not a torch.nn.Module or (module, example_inputs)")
    if input_shape is not None:
        return net, (torch.randn(2, *input_shape, generator=torch.Generator().manual_seed(0)),)
    if examples is None:
        raise InputError(
            f"{source} returned no example inputs: say the shape of one sample with --input 1,28,28, "
            "or return (module, example_inputs)"
        )
    return net, (examples,) if isinstance(examples, torch.Tensor) else tuple(examples)


def _call(source: str) -> Any:
    function = _find(source)
    try:
        return function()
    except Exception as e:  # the user's own code: whatever it raises is theirs to read
        raise InputError(f"{source}() raised {type(e).__name__}: {e}") from e


def _find(source: str) -> Callable[[], Any]:
    module_name, colon, name = source.partition(":")
    if not colon or not module_name or not name:
        raise InputError(f"'{source}' names no model: expected module:callable, as in my_models:build")
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
        raise InputError(f"module '{name}' cannot be imported: it needs '{e.name}', which is not installed") from e
    except Exception as e:  # the user's own code
        raise InputError(f"module '{name}' cannot be imported: {type(e).__name__}: {e}") from e


def parse_shape(text: str) -> tuple[int, ...]:
    """``"1,28,28"`` as a shape.

    Raises:
        InputError: it is none.
    """
    parts = text.replace("x", ",").split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise InputError(f"--input {text}: expected the shape of one sample without the batch, as in 1,28,28")
    return tuple(int(part) for part in parts)
