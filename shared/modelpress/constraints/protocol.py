"""What a constraint is: a parametrization that can describe itself, judge tensors, and be sliced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from torch import Tensor

from modelpress.constraints.kinds import Kind


class Constraint(Protocol):
    """A ``torch.nn.Module`` that `torch.nn.utils.parametrize` puts on a leaf's tensor.

    Called with what lies under it (the stored tensors, or the output of the constraint before it in the stack), it
    gives the tensor that obeys it, of the shape that the leaf wants. The innermost constraint may store the tensor in
    a form of its own (integers, factors): a ``right_inverse``, as the official parametrizations have it, then makes
    the stored tensors from the plain one; it must work on meta tensors too. Parameters of a constraint are trained
    like any other.
    """

    kind: ClassVar[Kind]
    tensor_names: ClassVar[tuple[str, ...]]
    """Its own parameters and buffers."""

    def __call__(self, *stored: Any) -> Any: ...

    def config(self) -> dict[str, Any]:
        """What its tensors do not tell, as JSON."""

    @classmethod
    def restore(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Constraint:
        """Build it from `config` and the tensors of `tensor_names`, which are taken as they are.

        Raises:
            InputError: anything that it would not have written itself; both come from files that others wrote.
        """

    def misfit(self, stored: Sequence[Tensor]) -> str:
        """Why it cannot be called with ``stored``, by number, shapes and dtypes (meta tensors do); else empty."""

    def violation(self, value: Tensor) -> str:
        """How a plain tensor fails to obey it exactly; empty where it obeys."""

    def sliced(self, dim: int, keep: Tensor) -> Constraint:
        """The constraint on the tensor of which only ``keep`` (int64 [n], ascending) is left along ``dim``.

        Shares no memory with this one.
        """

    def sliced_stored(self, stored: Sequence[Tensor], dim: int, keep: Tensor) -> tuple[Tensor, ...]:
        """The stored tensors of that smaller tensor; asked only of the innermost constraint, before it is sliced."""


def select(tensor: Tensor, dim: int, keep: Tensor) -> Tensor:
    """``tensor`` with the positions ``keep`` (int64 [n]) along ``dim``; detached, of its own memory."""
    return tensor.detach().index_select(dim, keep.to(tensor.device))
