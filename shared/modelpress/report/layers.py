"""What a stored model is made of, layer by layer, read from its manifest; no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Layer:
    """A layer with weights. ``shape`` and ``bits`` are of its weight tensor as stored.

    ``macs`` and ``activation_bytes`` are of one sample, None where the manifest does not tell. ``sparsity`` is the
    share of the weight that a mask takes, None where no mask lies on it.
    """

    path: str
    type: str
    shape: tuple[int, ...]
    bits: int
    parameters: int
    macs: int | None = None
    activation_bytes: int | None = None
    sparsity: float | None = None

    @property
    def weight_bytes(self) -> float:
        return math.prod(self.shape) * self.bits / 8


def layers_of(config: Mapping[str, Any], sparsities: Mapping[str, float] | None = None) -> tuple[Layer, ...]:
    """The layers that a model's manifest lists, in graph order; ``sparsities`` are by path."""
    masked = sparsities or {}
    return tuple(
        Layer(
            path=row["path"],
            type=row["type"],
            shape=tuple(row["shape"]),
            bits=row["bits"],
            parameters=row["parameters"],
            macs=row.get("macs"),
            activation_bytes=row.get("activation_bytes"),
            sparsity=masked.get(row["path"]),
        )
        for row in config.get("layers", ())
    )


@dataclass(frozen=True)
class LayerChange:
    """A layer of the original and what became of it (None: it is gone, or it is new)."""

    path: str
    before: Layer | None
    after: Layer | None

    @property
    def same(self) -> bool:
        return self.before == self.after


def compare(before: Sequence[Layer], after: Sequence[Layer]) -> list[LayerChange]:
    """Layers of both by path: the original's order, then those that are new."""
    old, new = {x.path: x for x in before}, {x.path: x for x in after}
    return [LayerChange(path, old.get(path), new.get(path)) for path in dict.fromkeys([*old, *new])]
