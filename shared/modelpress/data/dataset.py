"""A dataset: named splits of tensors, and the one description of what a model expects of its input.

Training, calibration, evaluation and packages all use this description; nothing else normalises.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from modelpress.data.augment import Draws, apply, draw
from modelpress.data.randomness import stream
from modelpress.errors import DataError

SplitName = Literal["train", "calibration", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "calibration", "validation", "test")


class Augmentations(BaseModel):
    """Random changes of training images; the allow-list."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    horizontal_flip: bool = False
    crop_padding: int = Field(
        default=0, ge=0, le=16, description="Pixels of zero padding before a random crop to size."
    )


class InputDescription(BaseModel):
    """What the model reads: raw values times ``scale``, minus ``mean``, over ``deviation`` (one entry a channel)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[int, ...]
    """Of one sample, raw and prepared alike, e.g. ``(1, 28, 28)``."""
    dtype: Literal["uint8", "float32"] = "uint8"
    """Of the stored values."""
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    deviation: tuple[float, ...] = (1.0,)


class DataDescription(BaseModel):
    """The dataset without its tensors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Literal["classification"] = "classification"
    input: InputDescription
    class_names: tuple[str, ...]
    augmentations: Augmentations = Augmentations()


@dataclass(frozen=True)
class Split:
    """``inputs`` [n, *shape] of the stored dtype, ``targets`` [n] int64 (class indices)."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return int(self.inputs.shape[0])


@dataclass(frozen=True)
class Dataset:
    """Splits and description. Checked when it is made by an importer or read from a store."""

    description: DataDescription
    splits: dict[SplitName, Split]

    def split(self, name: SplitName) -> Split:
        """The split called ``name``.

        Raises:
            DataError: the dataset has none; says which there are.
        """
        if name not in self.splits:
            raise DataError(f"the dataset has no split '{name}': it has {', '.join(self.splits)}")
        return self.splits[name]

    def prepare(self, raw: Tensor) -> Tensor:
        """Raw samples [n, *shape] as the model expects them: float32, scaled and normalised."""
        d = self.description.input
        shape = (1, -1, *([1] * (raw.ndim - 2)))
        mean = torch.tensor(d.mean, dtype=torch.float32).view(shape)
        deviation = torch.tensor(d.deviation, dtype=torch.float32).view(shape)
        return (raw.to(torch.float32) * d.scale - mean) / deviation

    def batches(
        self,
        name: SplitName,
        batch_size: int,
        *,
        augment: bool = False,
        shuffle: bool = False,
        seed: int = 0,
        epoch: int = 0,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Prepared batches ``([b, *shape] float32, [b] int64)``; order and augmentation depend on seed and epoch only.

        With ``shuffle`` an incomplete last batch is left out (batch statistics of a tiny batch are noise).

        Raises:
            DataError: there is no such split, or it does not fill one batch that it has to fill.
        """
        split = self.split(name)
        if batch_size < 1 or (shuffle and batch_size > len(split)):
            raise DataError(f"batches of {batch_size} cannot be made of split '{name}', which has {len(split)} samples")
        generator = stream(seed, "batches", epoch)
        order = torch.randperm(len(split), generator=generator) if shuffle else torch.arange(len(split))
        draws = draw(self.description.augmentations, len(split), generator) if augment else None
        stop = len(split) // batch_size * batch_size if shuffle else len(split)
        return self._batches(split, order[:stop], batch_size, draws)

    def _batches(
        self, split: Split, order: Tensor, batch_size: int, draws: Draws | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            raw = split.inputs[chosen]
            if draws is not None and draws.changes_anything:
                raw = apply(draws.part(start, start + len(chosen)), raw)
            yield self.prepare(raw), split.targets[chosen]
