"""Putting constraints on tensors, in their fixed order, and taking them off."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from modelpress.constraints.kinds import conflict
from modelpress.constraints.protocol import Constraint
from modelpress.constraints.stack import (
    apply_on_meta,
    constraints_of,
    on_meta,
    parametrization_list,
    shape_of,
    stored_names,
    stored_of,
    tensors_of,
    tie_of,
)
from modelpress.errors import InputError, NotFoundError, nearest


def attach(root: nn.Module, path: str, constraint: Constraint) -> None:
    """Put ``constraint`` on a parameter, at its place in the fixed order whatever is there already.

    Every name below ``root`` that shares the tensor gets the same constraint, so tied weights stay tied.

    Args:
        root: a leaf, or a whole graph.
        path: the parameter's name below ``root``: ``weight`` or ``layer1.0.conv1.weight``.

    Raises:
        NotFoundError: there is no such parameter; offers the nearest.
        InputError: a pair of constraints that exclude each other, a constraint that does not fit the tensor, or a
            tensor that belongs to no leaf (the format keeps constraints on leaves).
    """
    known = tensors_of(root)
    if path not in known:
        raise NotFoundError(f"there is no parameter '{path}': {nearest(path, known)}")
    tie = tie_of(*known[path])
    owners = [owner for owner in known.values() if tie_of(*owner) == tie]
    for module, name in owners:
        _check_attachable(module, name, path, constraint)
    for module, name in owners:
        _insert(module, name, constraint)


def put_stack(module: nn.Module, name: str, stored: Sequence[Tensor], constraints: Sequence[Constraint]) -> None:
    """Replace ``module``'s parameter ``name`` by ``stored`` tensors, taken as they are, under ``constraints``.

    Raises:
        InputError: constraints that are out of order or exclude each other, or that do not fit ``stored`` or the
            parameter's shape; nothing was changed.
    """
    parameter = module._parameters.get(name)
    if parameter is None:
        raise InputError(f"a {type(module).__name__} has no parameter '{name}' to put under a constraint")
    reason = _disorder(constraints) or _misfit(stored, constraints, parameter.shape)
    if reason:
        raise InputError(f"'{name}': {reason}")
    set_tensor(module, name, stored[0])
    _register(module, name, cast(Constraint, _Held(stored)))
    stack = parametrization_list(module, name)
    stack[0] = constraints[0]
    for own, tensor in zip(stored_names(len(stored)), stored, strict=True):
        set_tensor(stack, own, tensor)
    for constraint in constraints[1:]:
        _register(module, name, constraint)


def replace_stack(module: nn.Module, name: str, stored: Sequence[Tensor], constraints: Sequence[Constraint]) -> None:
    """Other tensors and constraints in place of as many, of any shape: how a tensor is sliced."""
    if not constraints:
        set_tensor(module, name, stored[0])
        return
    stack = parametrization_list(module, name)
    for own, tensor in zip(stored_names(stack.ntensors), stored, strict=True):
        set_tensor(stack, own, tensor)
    for i, constraint in enumerate(constraints):
        stack[i] = constraint


def drop_stack(module: nn.Module, name: str, plain: Tensor) -> None:
    """Take all constraints off ``module.<name>``, which becomes ``plain``."""
    _own_class(module)
    several = parametrization_list(module, name).ntensors > 1
    parametrize.remove_parametrizations(module, name, leave_parametrized=several)
    set_tensor(module, name, plain)


def set_tensor(module: nn.Module, name: str, tensor: Tensor) -> None:
    """Make ``tensor`` the module's parameter or buffer ``name``, whichever of both it was before."""
    is_parameter = isinstance(tensor, nn.Parameter)
    if name in (module._parameters if is_parameter else module._buffers):
        setattr(module, name, tensor)  # recurrent layers note by this what is assigned
        return
    module._parameters.pop(name, None)
    module._buffers.pop(name, None)
    if is_parameter:
        module.register_parameter(name, cast(nn.Parameter, tensor))
    else:
        module.register_buffer(name, tensor)


class _Held(nn.Module):
    """Takes the innermost constraint's place while tensors that are stored already are registered."""

    def __init__(self, stored: Sequence[Tensor]) -> None:
        super().__init__()
        self._held = tuple(stored)

    def right_inverse(self, value: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self._held[0] if len(self._held) == 1 else self._held


def _check_attachable(module: nn.Module, name: str, path: str, constraint: Constraint) -> None:
    if isinstance(module, fx.GraphModule) or type(module) is nn.Module:
        raise InputError(f"'{path}' is read by the graph itself and belongs to no leaf; constraints lie on leaves")
    before = constraints_of(module, name)
    if not before and name not in module._parameters:
        raise InputError(f"'{path}' is a buffer; constraints lie on parameters")
    after = _inserted(before, constraint)
    stored: Any = on_meta(stored_of(module, name))
    if after[0] is constraint and hasattr(constraint, "right_inverse"):
        made = constraint.right_inverse(stored[0])
        stored = (made,) if isinstance(made, Tensor) else tuple(made)
    reason = conflict(c.kind for c in after) or _misfit(stored, after, shape_of(module, name))
    if reason:
        raise InputError(f"'{path}': {reason}")


def _inserted(stack: Sequence[Constraint], constraint: Constraint) -> tuple[Constraint, ...]:
    return tuple(sorted([*stack, constraint], key=lambda c: c.kind.order))


def _insert(module: nn.Module, name: str, constraint: Constraint) -> None:
    before = constraints_of(module, name)
    after = _inserted(before, constraint)
    at = after.index(constraint)
    if before and at > 0:
        parametrization_list(module, name).insert(at, constraint)
        return
    if before:  # under what is there: the stored tensor has to pass through its right_inverse
        drop_stack(module, name, stored_of(module, name)[0])
    for each in after:
        _register(module, name, each)


def _register(module: nn.Module, name: str, constraint: Constraint) -> None:
    _own_class(module)
    # "unsafe" lets dtypes differ (integers under Dequantize); `_misfit` has checked more than torch would
    parametrize.register_parametrization(module, name, cast(nn.Module, constraint), unsafe=True)
    if isinstance(module, nn.RNNBase):
        type(module)._flat_weights = _FlatWeights()  # type: ignore[assignment]


class _FlatWeights:
    """The weights that a recurrent layer hands to its kernel, computed when asked.

    torch keeps them in a list beside the parameters. Of constrained ones that would be results of the last forward:
    they cannot be copied while a gradient hangs on them, and those of an analysis hold no values.
    """

    def __get__(self, module: nn.RNNBase, kind: type[nn.RNNBase]) -> list[Tensor]:
        return [getattr(module, name) for name in module._flat_weights_names]

    def __set__(self, module: nn.RNNBase, weights: list[Tensor]) -> None:
        """What is assigned was computed by `__get__`'s means."""


def _own_class(module: nn.Module) -> None:
    """Give a parametrized module its class back for itself.

    ``parametrize`` keeps the computed tensors as properties of a class made for one module, but a deep copy shares
    that class: adding or removing one in the copy would break the original.
    """
    if parametrize.is_parametrized(module):
        kind = type(module)
        own = {k: v for k, v in vars(kind).items() if k not in ("__dict__", "__weakref__")}
        module.__class__ = type(kind.__name__, kind.__bases__, own)


def _disorder(constraints: Sequence[Constraint]) -> str:
    """Why a file's stack is no stack: empty, wrong order, or a pair that excludes each other."""
    if not constraints:
        return "an empty stack of constraints"
    for inner, outer in pairwise(c.kind for c in constraints):
        if inner.order > outer.order:
            return f"{outer.name} lies outside {inner.name}; the order is factors, values, pattern"
    return conflict(c.kind for c in constraints)


def _misfit(stored: Sequence[Tensor], constraints: Sequence[Constraint], shape: Sequence[int]) -> str:
    """Why ``constraints`` over ``stored`` do not give a float tensor of ``shape``; computes no value."""
    values = on_meta(stored)
    for constraint in constraints:
        reason = constraint.misfit(values)
        if reason:
            return f"{constraint.kind.name}: {reason}"
        values = (apply_on_meta(constraint, values),)
    value = values[0]
    if tuple(value.shape) != tuple(shape) or not value.is_floating_point():
        return f"the constraints give {value.dtype} {list(value.shape)}; the leaf needs floats {list(shape)}"
    return ""
