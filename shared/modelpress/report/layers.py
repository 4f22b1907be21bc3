"""What a stored model is made of, layer by layer, read from its manifest; no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Layer:
    """A layer with weights. ``shape`` and ``bits`` are of its weight tensor as stored."""

    path: str
    type: str
    shape: tuple[int, ...]
    bits: int
    parameters: int

    @property
    def weight_bytes(self) -> float:
        return math.prod(self.shape) * self.bits / 8


def layers_of(config: Mapping[str, Any]) -> tuple[Layer, ...]:
    """The layers that a model's manifest lists, in graph order."""
    return tuple(
        Layer(row["path"], row["type"], tuple(row["shape"]), row["bits"], row["parameters"])
        for row in config.get("layers", ())
    )


@dataclass(frozen=True)
class LayerChange:
    """A layer of the original and what became of it (None: it is gone, or it is new)."""

    path: str
    before: Layer | None
    after: Layer | None


def compare(before: Sequence[Layer], after: Sequence[Layer]) -> list[LayerChange]:
    """Layers of both by path: the original's order, then those that are new."""
    old, new = {x.path: x for x in before}, {x.path: x for x in after}
    return [LayerChange(path, old.get(path), new.get(path)) for path in dict.fromkeys([*old, *new])]
