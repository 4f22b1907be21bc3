"""The constraints that a leaf's tensors carry, as records of the format and back."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.utils import parametrize

from modelpress.constraints.dequantize import Dequantize, attach_dequantize
from modelpress.errors import InputError, ModelFormatError
from modelpress.graph.document import ConstraintRecord

CONSTRAINTS: Mapping[str, type[nn.Module]] = {"Dequantize": Dequantize}


def records_of(leaf: nn.Module) -> dict[str, tuple[ConstraintRecord, ...]]:
    """The stack of each constrained tensor of ``leaf``, innermost first.

    Raises:
        ModelFormatError: a parametrization that is none of `CONSTRAINTS`.
    """
    stacks = leaf.parametrizations.items() if parametrize.is_parametrized(leaf) else ()  # type: ignore[operator,union-attr]
    return {name: tuple(_record(c) for c in stack) for name, stack in stacks}


def _record(constraint: nn.Module) -> ConstraintRecord:
    kind = type(constraint).__name__
    if CONSTRAINTS.get(kind) is not type(constraint):
        raise ModelFormatError(f"{kind} is no constraint of the format; constraints are {', '.join(CONSTRAINTS)}")
    return ConstraintRecord(type=kind, config=constraint.config())  # type: ignore[operator]


def constrain(
    module: nn.Module, path: str, name: str, stack: tuple[ConstraintRecord, ...], table: dict[str, Tensor]
) -> None:
    """Put ``stack`` on the tensor ``name`` of the leaf at ``path``; takes the stack's tensors out of ``table``.

    Raises:
        ModelFormatError: no stack of the format, or one that does not fit the leaf.
    """
    where = f"leaves.{path}.constraints.{name}"
    if [c.type for c in stack] != ["Dequantize"]:
        raise ModelFormatError(f"{where}: {[c.type for c in stack]} is no stack of the format; it knows Dequantize")
    prefix = f"{path}.parametrizations.{name}"
    stored, scale = take(table, f"{prefix}.original"), take(table, f"{prefix}.0.scale")
    meta = module._parameters.get(name)
    if meta is None or meta.shape != stored.shape or stack[0].config != {"channels": scale.numel()}:
        raise ModelFormatError(f"{where}: does not fit the leaf's '{name}'")
    try:
        attach_dequantize(module, name, stored, scale)
    except InputError as e:
        raise ModelFormatError(f"{where}: {e}") from e


def take(table: dict[str, Tensor], name: str) -> Tensor:
    """Remove and return a tensor of the file."""
    if name not in table:
        raise ModelFormatError(f"tensor '{name}' is missing")
    return table.pop(name)
