"""The model that every method works on: a lifted graph with ``torch.nn`` leaves, and what is true of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from modelpress.catalogue import Form


@dataclass(frozen=True)
class TensorSpec:
    """One input of a graph. ``shape`` has None where a dimension is dynamic (the batch)."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def example(self, batch: int = 2, seed: int = 0) -> Tensor:
        """A random tensor of this spec, ``[batch, ...]``: normal for floats, zeros and ones for integers."""
        size = [batch if n is None else n for n in self.shape]
        generator = torch.Generator().manual_seed(seed)
        dtype: torch.dtype = getattr(torch, self.dtype)
        if dtype.is_floating_point:
            return torch.randn(size, generator=generator).to(dtype)
        return torch.randint(0, 2, size, generator=generator).to(dtype)


@dataclass(frozen=True)
class Model:
    """A lifted graph.

    ``module`` is an ``fx.GraphModule`` whose parametrised operators are ``torch.nn`` leaf modules (or our own
    allow-listed leaves such as `modelpress.constraints.FakeQuantize`) at the user's own module paths; everything
    else is an enumerated aten call. ``facts`` is JSON (bit widths, sparsity, what changed the structure); ``notes``
    name what of the user's module the graph does not carry.
    """

    module: fx.GraphModule
    inputs: tuple[TensorSpec, ...]
    form: Form = Form.DENSE
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def leaves(self) -> Iterator[tuple[str, nn.Module]]:
        """Called leaf modules with their paths, in graph order, each once."""
        seen: set[str] = set()
        for node in self.module.graph.nodes:
            if node.op == "call_module" and node.target not in seen:
                seen.add(node.target)
                yield node.target, self.module.get_submodule(node.target)

    def examples(self, batch: int = 2, seed: int = 0) -> tuple[Tensor, ...]:
        return tuple(spec.example(batch, seed + i) for i, spec in enumerate(self.inputs))

    def with_(self, **changes: Any) -> Model:
        """A copy of the record (the module itself is shared)."""
        return replace(self, **changes)
