"""A small classification set that is made, not loaded, and a network for it: for tests of what trains and prunes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

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
        augmentations=augmentations or Augmentations(crop_padding=0),
    )
    return Dataset(description, {name: draw(count) for name, count in sizes.items()})


class BlobNet(nn.Module):
    """A residual network for `blobs`: convolutions under batch norms, one sum that ties two of them."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.inner = nn.Sequential(
            nn.Conv2d(width, 2 * width, 3, padding=1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.Conv2d(2 * width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.shrink = nn.Conv2d(width, 4, 3, stride=2, padding=1)
        self.head = nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.relu(x + self.inner(x))
        y: Tensor = self.head(torch.relu(self.shrink(x)).flatten(1))
        return y
