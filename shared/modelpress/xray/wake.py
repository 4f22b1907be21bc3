"""Weights that are zero throughout, as many networks begin their training with, made such as training leaves them.

A residual branch whose last norm starts at zero folds into a layer of zeros, and files keep equal constants once: the
packages of an untrained ResNet-50 would be a sixth smaller than those of a trained one.
"""

from __future__ import annotations

import torch

from modelpress.graph.model import Model

DEVIATION = 0.02
"""Of normal weights, as transformers begin with."""
TOLD = 3


@torch.no_grad()
def wake(model: Model) -> list[str]:
    """Replace weights of zeros only, in place: vectors by ones, others by normal noise. Says what was replaced.

    Biases stay: they are small, and trained networks have such.
    """
    generator = torch.Generator().manual_seed(0)
    woken = []
    for name, parameter in model.module.named_parameters():
        if name.endswith("bias") or not parameter.is_floating_point() or bool(parameter.any()):
            continue
        if parameter.ndim < 2:
            parameter.fill_(1.0)
        else:
            parameter.normal_(0.0, DEVIATION, generator=generator)
        woken.append(name)
    if not woken:
        return []
    names = ", ".join(woken[:TOLD]) + (f" and {len(woken) - TOLD} more" if len(woken) > TOLD else "")
    return [f"weights of zeros only ({names}) were replaced, so that files are as large as those of a trained model"]
