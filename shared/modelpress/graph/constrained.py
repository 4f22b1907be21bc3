"""The constraints that a leaf's tensors carry, as records of the format and back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, takewhile

from torch import Tensor, nn

from modelpress.constraints import registry
from modelpress.constraints.attach import put_stack
from modelpress.constraints.kinds import Order
from modelpress.constraints.protocol import Constraint
from modelpress.constraints.stack import constrained_tensors, constraints_of
from modelpress.errors import InputError, ModelFormatError
from modelpress.graph.document import ConstraintRecord


def records_of(leaf: nn.Module) -> dict[str, tuple[ConstraintRecord, ...]]:
    """The stack of each constrained tensor of ``leaf``, innermost first.

    Raises:
        ModelFormatError: a constraint that is none of the format.
        InputError: a parametrization that is no constraint at all.
    """
    names = sorted(name for name, _, _ in constrained_tensors(leaf))
    return {name: tuple(_record(c) for c in constraints_of(leaf, name)) for name in names}


def _record(constraint: Constraint) -> ConstraintRecord:
    kind = type(constraint).__name__
    if registry.CONSTRAINTS.get(kind) is not type(constraint):
        raise ModelFormatError(f"{kind} is no constraint of the format; constraints are {_known()}")
    return ConstraintRecord(type=kind, config=constraint.config())


def constrain(
    module: nn.Module, path: str, name: str, stack: Sequence[ConstraintRecord], table: dict[str, Tensor]
) -> None:
    """Put ``stack`` on the tensor ``name`` of the leaf at ``path``; takes the stack's tensors out of ``table``.

    Raises:
        ModelFormatError: no stack of the format, or one that does not fit the leaf.
    """
    where = f"leaves.{path}.constraints.{name}"
    prefix = f"{path}.parametrizations.{name}"
    if len(stack) > len(Order):
        raise ModelFormatError(f"{where}: {len(stack)} constraints on one tensor; there are {len(Order)} places")
    constraints = [_restored(r, f"{prefix}.{i}", table, f"{where}[{i}]") for i, r in enumerate(stack)]
    try:
        put_stack(module, name, _stored(table, prefix), constraints)
    except InputError as e:
        raise ModelFormatError(f"{where}: {e}") from e


def _restored(record: ConstraintRecord, prefix: str, table: dict[str, Tensor], where: str) -> Constraint:
    kind = registry.CONSTRAINTS.get(record.type)
    if kind is None:
        raise ModelFormatError(f"{where}: '{record.type}' is no constraint of the format; constraints are {_known()}")
    tensors = {name: take(table, f"{prefix}.{name}") for name in kind.tensor_names}
    try:
        return kind.restore(record.config, tensors)
    except InputError as e:
        raise ModelFormatError(f"{where}: {e}") from e


def _stored(table: dict[str, Tensor], prefix: str) -> list[Tensor]:
    """``original``, or ``original0``, ``original1``... as many as there are."""
    several = list(takewhile(table.__contains__, (f"{prefix}.original{i}" for i in count())))
    return [take(table, name) for name in several or [f"{prefix}.original"]]


def _known() -> str:
    return ", ".join(registry.CONSTRAINTS)


def take(table: dict[str, Tensor], name: str) -> Tensor:
    """Remove and return a tensor of the file."""
    if name not in table:
        raise ModelFormatError(f"tensor '{name}' is missing")
    return table.pop(name)
