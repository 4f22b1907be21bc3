"""Learning rates as pure functions of the step, so that a continued run needs no scheduler state."""

from __future__ import annotations

import math

START = 0.04
"""Share of the peak that the first step takes."""


def one_cycle(step: int, steps: int, peak: float, warmup_share: float) -> float:
    """Learning rate of ``step`` (0 .. steps - 1): a cosine up to ``peak``, then a cosine down to nearly zero.

    Paper: Smith & Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates",
    2017, arXiv:1708.07120. Differs from the paper: momentum stays constant; the second half is a cosine, not a line.
    """
    warmup_steps = warmup_share * steps
    if step < warmup_steps:
        return peak * (START + (1 - START) * _rise(step / warmup_steps))
    return peak * (1 - _rise((step - warmup_steps + 1) / (steps - warmup_steps + 1)))


def _rise(share: float) -> float:
    return (1 - math.cos(math.pi * share)) / 2
