"""A codebook and a low-rank constraint in a few lines each, to show that such classes fit the protocol as it is.

`Codebook` has parameters of its own (the centroids) over a stored tensor that only says where it started; `LowRank`
stores a tensor as two, which its ``right_inverse`` makes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from modelpress.constraints.kinds import Kind, Order
from modelpress.constraints.protocol import Constraint, select
from modelpress.errors import InputError


class Codebook(nn.Module):
    """Every entry is one of a few trained centroids; ``codes`` says which."""

    kind: ClassVar[Kind] = Kind("Codebook", "codebook", Order.VALUES)
    tensor_names: ClassVar[tuple[str, ...]] = ("centroids", "codes")
    codes: Tensor

    def __init__(self, centroids: Tensor, codes: Tensor) -> None:
        super().__init__()
        self.centroids = centroids if isinstance(centroids, nn.Parameter) else nn.Parameter(centroids.clone())
        self.register_buffer("codes", codes)

    @classmethod
    def of(cls, weight: Tensor, entries: int) -> Codebook:
        centroids = torch.linspace(float(weight.min()), float(weight.max()), entries)
        return cls(centroids, (weight[..., None] - centroids).abs().argmin(-1).to(torch.uint8))

    def config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def restore(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Codebook:
        centroids, codes = tensors["centroids"], tensors["codes"]
        sound = isinstance(centroids, nn.Parameter) and centroids.is_floating_point() and centroids.ndim == 1
        if config or not sound or codes.dtype != torch.uint8 or isinstance(codes, nn.Parameter):
            raise InputError("no codebook")
        if codes.numel() and int(codes.max()) >= len(centroids):
            raise InputError(f"a code of {int(codes.max())}, but {len(centroids)} centroids")
        return cls(centroids, codes)

    def forward(self, weight: Tensor) -> Tensor:
        return self.centroids[self.codes.long()] + (weight - weight.detach())

    def misfit(self, stored: Sequence[Tensor]) -> str:
        fits = [t.shape for t in stored] == [self.codes.shape] and stored[0].is_floating_point()
        return "" if fits else f"codes are {list(self.codes.shape)}, under them lies {[t.shape for t in stored]}"

    def violation(self, value: Tensor) -> str:
        if value.shape != self.codes.shape:
            return "another shape"
        return "" if torch.equal(value, self.centroids[self.codes.long()]) else "entries that are no centroids"

    def sliced(self, dim: int, keep: Tensor) -> Codebook:
        made = nn.Parameter(self.centroids.detach().clone(), self.centroids.requires_grad)
        return Codebook(made, select(self.codes, dim, keep))

    def sliced_stored(self, stored: Sequence[Tensor], dim: int, keep: Tensor) -> tuple[Tensor, ...]:
        return (select(stored[0], dim, keep),)


class LowRank(nn.Module):
    """A tensor [o, ...] as a product of factors [o, r] and [r, prod(...)], its dimensions after the first as one."""

    kind: ClassVar[Kind] = Kind("LowRank", "low-rank", Order.FACTORS)
    tensor_names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, shape: Sequence[int], rank: int) -> None:
        super().__init__()
        self.shape, self.rank = tuple(shape), rank

    def config(self) -> dict[str, Any]:
        return {"shape": list(self.shape), "rank": self.rank}

    @classmethod
    def restore(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> LowRank:
        shape, rank = config.get("shape"), config.get("rank")
        if len(config) != 2 or not isinstance(shape, list) or len(shape) < 2 or type(rank) is not int:
            raise InputError("no low-rank constraint")
        if not all(type(n) is int and n > 0 for n in shape):
            raise InputError(f"{shape} is no shape")
        return cls(shape, rank)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        u, s, v = torch.linalg.svd(weight.detach().flatten(1), full_matrices=False)
        root = s[: self.rank].sqrt()
        return u[:, : self.rank] * root, root[:, None] * v[: self.rank]

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return (left @ right).view(self.shape)

    def misfit(self, stored: Sequence[Tensor]) -> str:
        wanted = [(self.shape[0], self.rank), (self.rank, math.prod(self.shape[1:]))]
        fits = [tuple(t.shape) for t in stored] == wanted and all(t.is_floating_point() for t in stored)
        return "" if fits else f"factors are {wanted}, not {[tuple(t.shape) for t in stored]}"

    def violation(self, value: Tensor) -> str:
        if value.shape != self.shape:
            return "another shape"
        rank = int(torch.linalg.matrix_rank(value.detach().flatten(1), rtol=1e-5))
        return "" if rank <= self.rank else f"rank {rank} instead of {self.rank}"

    def sliced(self, dim: int, keep: Tensor) -> LowRank:
        return LowRank([len(keep) if i == dim else n for i, n in enumerate(self.shape)], self.rank)

    def sliced_stored(self, stored: Sequence[Tensor], dim: int, keep: Tensor) -> tuple[Tensor, ...]:
        left, right = (t.detach() for t in stored)
        if dim == 0:
            return select(left, 0, keep), right.clone()
        columns = right.view(self.rank, *self.shape[1:]).index_select(dim, keep)
        return left.clone(), columns.flatten(1)


if TYPE_CHECKING:
    _codebook: Constraint = Codebook.of(torch.ones(1), 1)
    _low_rank: Constraint = LowRank([1, 1], 1)
