"""The stack of constraints on a tensor, and tensors by the names that they have without it.

All of it is official ``torch.nn.utils.parametrize``: ``module.<name>`` is computed, what is stored lies at
``module.parametrizations.<name>.original`` (``original0``, ``original1``... where there are several), the constraints
at ``module.parametrizations.<name>[i]``, innermost first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from modelpress.constraints.kinds import Kind
from modelpress.constraints.protocol import Constraint
from modelpress.errors import InputError

Owner = tuple[nn.Module, str]
"""A module and the name of one of its tensors."""
Tie = tuple[int, ...]
"""Equal for tensors that are one: the identities of what is stored."""


def constraints_of(module: nn.Module, name: str) -> tuple[Constraint, ...]:
    """The constraints on ``module.<name>``, innermost first; none of a plain tensor."""
    return tuple(parametrization_list(module, name)) if parametrize.is_parametrized(module, name) else ()


def stored_of(module: nn.Module, name: str) -> tuple[Tensor, ...]:
    """What is stored of ``module.<name>``: the tensor itself, or what its constraints compute it from."""
    if not parametrize.is_parametrized(module, name):
        return (getattr(module, name),)
    stack = parametrization_list(module, name)
    return tuple(getattr(stack, stored) for stored in stored_names(stack.ntensors))


def tie_of(module: nn.Module, name: str) -> Tie:
    """What ``module.<name>`` shares with every tensor that is tied to it."""
    return tuple(id(tensor) for tensor in stored_of(module, name))


def is_parameter(module: nn.Module, name: str) -> bool:
    """Whether ``module.<name>`` is a parameter, plain or under constraints, rather than a buffer."""
    return name in module._parameters or parametrize.is_parametrized(module, name)


def stored_names(count: int) -> list[str]:
    """Names under which ``parametrize`` keeps ``count`` stored tensors."""
    return ["original"] if count == 1 else [f"original{i}" for i in range(count)]


def shape_of(module: nn.Module, name: str) -> tuple[int, ...]:
    """The shape of ``module.<name>``, computing no value."""
    stack = constraints_of(module, name)
    values = on_meta(stored_of(module, name)) if stack else stored_of(module, name)
    for constraint in stack:
        values = (apply_on_meta(constraint, values),)
    return tuple(values[0].shape)


def tensors_of(root: nn.Module) -> dict[str, Owner]:
    """Every parameter, then every buffer below ``root`` by the user's own name, constrained or not.

    The tensors that constraints hold are not listed: they belong to what they constrain.

    Raises:
        InputError: a parametrization that is no constraint of ours.
    """
    parameters: dict[str, Owner] = {}
    buffers: dict[str, Owner] = {}
    for path, module in root.named_modules(remove_duplicate=False):
        if "parametrizations" in path.split("."):
            continue
        prefix = f"{path}." if path else ""
        for name in _constrained_names(module):
            _check_ours(module, name, prefix + name)
            parameters[prefix + name] = (module, name)
        parameters.update({prefix + n: (module, n) for n, t in module._parameters.items() if t is not None})
        buffers.update({prefix + n: (module, n) for n, t in module._buffers.items() if t is not None})
    return {**parameters, **buffers}


def parameters_of(root: nn.Module) -> dict[str, Tensor]:
    """Every parameter below ``root`` by the user's own name, with the value that the graph sees; detached."""
    owners = tensors_of(root).items()
    return {path: getattr(*owner).detach() for path, owner in owners if is_parameter(*owner)}


def constrained_tensors(root: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """Path, owner and name of every tensor below ``root`` that is under a constraint."""
    for path, (module, name) in tensors_of(root).items():
        if parametrize.is_parametrized(module, name):
            yield path, module, name


def parametrization_list(module: nn.Module, name: str) -> Any:
    """The ``ParametrizationList`` of ``module.<name>``, which must be under one."""
    return module.parametrizations[name]  # type: ignore[index]


def on_meta(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Shapes and dtypes without values."""
    return tuple(t.detach().to("meta") for t in tensors)


def apply_on_meta(constraint: Constraint, values: Sequence[Tensor]) -> Tensor:
    """What ``constraint`` gives for meta tensors; computes no value."""
    module = cast(nn.Module, constraint)
    state = {n: t.detach().to("meta") for n, t in chain(module.named_parameters(), module.named_buffers())}
    with torch.no_grad():
        made: Tensor = torch.func.functional_call(module, state, tuple(values))
    return made


def _constrained_names(module: nn.Module) -> list[str]:
    return list(module.parametrizations) if parametrize.is_parametrized(module) else []  # type: ignore[arg-type]


def _check_ours(module: nn.Module, name: str, path: str) -> None:
    for each in parametrization_list(module, name):
        if not isinstance(getattr(each, "kind", None), Kind):
            raise InputError(
                f"'{path}' is under a {type(each).__name__}, which is no constraint of modelpress; take that "
                "parametrization off (torch.nn.utils.parametrize.remove_parametrizations)"
            )
