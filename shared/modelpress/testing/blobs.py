"""A small classification set that is made, not loaded: for tests of what trains, prunes, quantizes and measures."""

from __future__ import annotations

import torch

from modelpress.data.dataset import Augmentations, DataDescription, Dataset, InputDescription, Split, SplitName

SIDE = 8
CLASSES = 4


def blobs(
    train: int = 512,
    evaluation: int = 256,
    *,
    noise: float = 1.5,
    seed: int = 0,
    augmentations: Augmentations | None = None,
) -> Dataset:
    """Images [n, 1, 8, 8] float32: one fixed pattern a class under normal noise of deviation ``noise``.

    ``train`` images in the train split, ``evaluation`` in each of calibration, validation and test; classes are drawn
    evenly at random. Equal arguments give equal tensors.
    """
    generator = torch.Generator().manual_seed(seed)
    patterns = torch.randn(CLASSES, 1, SIDE, SIDE, generator=generator)

    def draw(count: int) -> Split:
        targets = torch.randint(0, CLASSES, (count,), generator=generator)
        return Split(patterns[targets] + noise * torch.randn(count, 1, SIDE, SIDE, generator=generator), targets)

    sizes: dict[SplitName, int] = {
        "train": train,
        "calibration": evaluation,
        "validation": evaluation,
        "test": evaluation,
    }
    description = DataDescription(
        input=InputDescription(shape=(1, SIDE, SIDE), dtype="float32"),
        class_names=tuple(f"pattern {index}" for index in range(CLASSES)),
        augmentations=augmentations or Augmentations(),
    )
    return Dataset(description, {name: draw(count) for name, count in sizes.items()})
