"""The model that every method works on: a lifted graph with ``torch.nn`` leaves, and what is true of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from modelpress.catalogue import Form

BATCH = "batch"
"""The symbol of the dimension that counts samples."""


@dataclass(frozen=True)
class TensorSpec:
    """One input of a graph. ``shape`` has a symbol (``batch``, ``length``) where a dimension is dynamic."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def example(self, sizes: Mapping[str, int], seed: int = 0) -> Tensor:
        """A random tensor of this spec: normal for floats, zeros and ones for integers; ``sizes`` by symbol."""
        size = [sizes[n] if isinstance(n, str) else n for n in self.shape]
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
    else is an enumerated aten call. ``sizes`` is what each symbol of the inputs' shapes was in the user's example.
    ``facts`` is JSON (bit widths, sparsity, what changed the structure); ``notes`` name what of the user's module the
    graph does not carry.
    """

    module: fx.GraphModule
    inputs: tuple[TensorSpec, ...]
    sizes: Mapping[str, int] = field(default_factory=lambda: {BATCH: 2})
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

    def examples(self, batch: int = 2, seed: int = 0, **sizes: int) -> tuple[Tensor, ...]:
        """Random inputs; ``batch`` and ``sizes`` override what the symbols were in the user's example."""
        wanted = {**self.sizes, BATCH: batch, **sizes}
        return tuple(spec.example(wanted, seed + i) for i, spec in enumerate(self.inputs))

    def with_(self, **changes: Any) -> Model:
        """A copy of the record (the module itself is shared)."""
        return replace(self, **changes)
