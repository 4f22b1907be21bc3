"""`Mask`: which entries of a weight stay; the others are zero whatever is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from modelpress.constraints.kinds import MASK, Kind
from modelpress.constraints.protocol import Constraint, select
from modelpress.errors import InputError


class Mask(nn.Module):
    """Keeps the entries of a float tensor where ``keep`` is True; the others give zero and get zero gradient.

    Unstructured, n:m or by block: all are just masks. What is stored under it need not be zero where the mask is
    (weight decay and momentum move it), only finite; what the layer sees is zero, exactly.

    Buffers: ``keep`` bool, of the tensor's shape.
    """

    kind: ClassVar[Kind] = MASK
    tensor_names: ClassVar[tuple[str, ...]] = ("keep",)
    keep: Tensor

    def __init__(self, keep: Tensor) -> None:
        super().__init__()
        if keep.dtype != torch.bool:
            raise InputError(f"a mask is bool, True where an entry stays, not {keep.dtype}")
        self.register_buffer("keep", keep.detach().clone())

    def config(self) -> dict[str, Any]:
        """Nothing: the tensor says it all."""
        return {}

    @classmethod
    def restore(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Mask:
        if config:
            raise InputError(f"a Mask has no config, not {dict(config)}")
        if isinstance(tensors["keep"], nn.Parameter):
            raise InputError("a Mask's 'keep' is a buffer, not a parameter")
        made = cls(tensors["keep"])
        made.keep = tensors["keep"]
        return made

    def forward(self, weight: Tensor) -> Tensor:
        # torch.where takes ten times as long on the CPU; the sum makes zeros of minus zeros
        return weight * self.keep + 0.0

    def misfit(self, stored: Sequence[Tensor]) -> str:
        found = [list(t.shape) for t in stored]
        if found != [list(self.keep.shape)]:
            return f"the mask has shape {list(self.keep.shape)}, the tensor under it {found}"
        return "" if stored[0].is_floating_point() else f"a mask lies on floats, not {stored[0].dtype}"

    def violation(self, value: Tensor) -> str:
        if value.shape != self.keep.shape:
            return f"the mask has shape {list(self.keep.shape)}, the tensor {list(value.shape)}"
        revived = int(((value != 0) & ~self.keep).sum())
        return f"{revived} of {int((~self.keep).sum())} pruned entries are not zero" if revived else ""

    def sliced(self, dim: int, keep: Tensor) -> Mask:
        return Mask(select(self.keep, dim, keep))

    def sliced_stored(self, stored: Sequence[Tensor], dim: int, keep: Tensor) -> tuple[Tensor, ...]:
        return (select(stored[0], dim, keep),)

    def extra_repr(self) -> str:
        return f"shape={list(self.keep.shape)}" + ("" if self.keep.is_meta else f", kept={int(self.keep.sum())}")


if TYPE_CHECKING:
    _: Constraint = Mask(torch.ones(1, dtype=torch.bool))
