"""Random changes of training images, on raw values and a whole batch at a time.

Shapes: raw [n, c, h, w] uint8 or float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from modelpress.data.dataset import Augmentations


@dataclass(frozen=True)
class Draws:
    """What happens to each of n samples: ``flip`` [n] bool; ``top``, ``left`` [n] int64, in pixels of the padded image.

    Drawn for all samples of an epoch at once, so that the batch size has no say in it.
    """

    padding: int
    flip: Tensor
    top: Tensor
    left: Tensor

    @property
    def changes_anything(self) -> bool:
        return self.padding > 0 or bool(self.flip.any())

    def part(self, start: int, stop: int) -> Draws:
        """The draws of samples ``start`` to ``stop``."""
        return Draws(self.padding, self.flip[start:stop], self.top[start:stop], self.left[start:stop])


def draw(augmentations: Augmentations, count: int, generator: torch.Generator) -> Draws:
    """Draw for ``count`` samples; flips have probability one half, crops are uniform."""
    padding = augmentations.crop_padding
    flip = torch.rand(count, generator=generator) < (0.5 if augmentations.horizontal_flip else 0.0)
    top, left = torch.randint(0, 2 * padding + 1, (2, count), generator=generator)
    return Draws(padding, flip, top, left)


def apply(draws: Draws, raw: Tensor) -> Tensor:
    """Pad ``raw`` [n, c, h, w] with raw zeros, crop each image back to [h, w] where it was drawn, mirror some."""
    n, c, h, w = raw.shape
    p = draws.padding
    padded = functional.pad(raw, (p, p, p, p)).view(n, c, -1)
    rows = draws.top[:, None] + torch.arange(h)
    columns = torch.arange(w)
    columns = torch.where(draws.flip[:, None], columns.flip(0), columns) + draws.left[:, None]
    pixels = rows[:, :, None] * (w + 2 * p) + columns[:, None, :]
    return padded.gather(2, pixels.view(n, 1, h * w).expand(n, c, h * w)).view(n, c, h, w)
