"""What a training step minimises. Each takes the module that is trained, inputs and targets; they nest.

Shapes (b = batch, c = classes): logits [b, c] float32    targets [b] int64    losses are scalars (mean over the batch).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional


class Objective(Protocol):
    """A loss of one batch and the figures to show for it (means over the batch, named as the progress shows them)."""

    def __call__(self, module: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Mapping[str, float]]: ...


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy with the targets, ``label_smoothing`` of the mass spread over all classes."""

    label_smoothing: float = 0.0

    def __call__(self, module: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        return functional.cross_entropy(module(inputs), targets, label_smoothing=self.label_smoothing), {}


@dataclass(frozen=True)
class Distillation:
    """Learn from the targets and from what ``teacher`` answers to the very same (augmented) inputs.

    The teacher is used as it is: put it into eval mode first.
    """

    teacher: nn.Module
    temperature: float
    alpha: float

    def __call__(self, module: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        with torch.no_grad():
            teacher_logits = self.teacher(inputs)
        logits = module(inputs)
        hard = functional.cross_entropy(logits, targets)
        soft = soft_target_loss(logits, teacher_logits, self.temperature)
        return (1 - self.alpha) * hard + self.alpha * soft, {"kd": soft.item()}


def soft_target_loss(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """``T^2 * KL(teacher || student)`` of the distributions softened by ``temperature``.

    Paper: Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network", 2015, arXiv:1503.02531. Differs from
    the paper: the teacher's entropy, a constant, is subtracted, so that equal answers cost nothing.
    """
    student = functional.log_softmax(logits / temperature, dim=1)
    teacher = functional.log_softmax(teacher_logits / temperature, dim=1)
    return temperature**2 * functional.kl_div(student, teacher, reduction="batchmean", log_target=True)


@dataclass(frozen=True)
class ScalePenalty:
    """``inner`` plus ``strength`` times the L1 norm of the named scales of norms, which drives some of them to zero.

    Paper: Liu et al., "Learning Efficient Convolutional Networks through Network Slimming", 2017, arXiv:1708.06519.
    Differs from the paper: only scales of channels that can be removed are penalised.
    """

    inner: Objective
    scales: tuple[str, ...]
    strength: float

    def __call__(self, module: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        loss, figures = self.inner(module, inputs, targets)
        total = torch.stack([module.get_parameter(name).abs().sum() for name in self.scales]).sum()
        return loss + self.strength * total, {**figures, "scale_l1": total.item()}
