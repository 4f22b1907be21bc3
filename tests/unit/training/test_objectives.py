import math

import pytest
import torch
from torch import Tensor, nn

from modelpress.training.objectives import CrossEntropy, Distillation, ScalePenalty, soft_target_loss

# Teacher (3/4, 1/4) against student (1/2, 1/2): 3/4 ln(3/2) + 1/4 ln(1/2).
KL = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)


class Constant(nn.Module):
    """Answers with the same logits whatever it is asked."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.logits.expand(len(inputs), -1)


INPUTS = torch.zeros(2, 1)
TARGETS = torch.zeros(2, dtype=torch.int64)


def test_soft_target_loss_of_a_hand_computed_case() -> None:
    loss = soft_target_loss(torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3), 0.0]]), temperature=1.0)
    assert loss.item() == pytest.approx(KL, abs=1e-6)


def test_temperature_softens_and_keeps_the_scale_of_the_gradient() -> None:
    loss = soft_target_loss(torch.tensor([[0.0, 0.0]]), torch.tensor([[2 * math.log(3), 0.0]]), temperature=2.0)
    assert loss.item() == pytest.approx(4 * KL, abs=1e-6)


def test_equal_answers_cost_nothing() -> None:
    logits = torch.tensor([[1.0, -2.0, 0.5]])
    assert soft_target_loss(logits, logits, temperature=4.0).item() == pytest.approx(0.0, abs=1e-6)


def test_distillation_mixes_targets_and_teacher() -> None:
    student, teacher = Constant(0.0, 0.0), Constant(math.log(3), 0.0)
    loss, figures = Distillation(teacher, temperature=1.0, alpha=0.25)(student, INPUTS, TARGETS)
    assert loss.item() == pytest.approx(0.75 * math.log(2) + 0.25 * KL, abs=1e-6)
    assert figures["kd"] == pytest.approx(KL, abs=1e-6)


def test_the_teacher_gets_no_gradient() -> None:
    student, teacher = Constant(0.0, 0.0), Constant(1.0, 0.0)
    Distillation(teacher, temperature=2.0, alpha=0.5)(student, INPUTS, TARGETS)[0].backward()  # type: ignore[no-untyped-call]
    assert teacher.logits.grad is None
    assert student.logits.grad is not None


def test_label_smoothing_spreads_mass_over_all_classes() -> None:
    loss, _ = CrossEntropy(label_smoothing=0.5)(Constant(math.log(3), 0.0), INPUTS, TARGETS)
    assert loss.item() == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25), abs=1e-6)


def test_scale_penalty_adds_the_l1_norm_and_its_subgradient() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(3)
            self.other = nn.BatchNorm1d(3)

        def forward(self, inputs: Tensor) -> Tensor:
            return torch.zeros(len(inputs), 2, requires_grad=True)

    module = Scaled()
    module.norm.weight.data = torch.tensor([2.0, -0.5, 0.0])
    loss, figures = ScalePenalty(CrossEntropy(), ("norm.weight",), 0.1)(module, INPUTS, TARGETS)
    loss.backward()  # type: ignore[no-untyped-call]
    assert figures["scale_l1"] == 2.5
    assert loss.item() == pytest.approx(math.log(2) + 0.25, abs=1e-6)
    assert module.norm.weight.grad is not None
    torch.testing.assert_close(module.norm.weight.grad, torch.tensor([0.1, -0.1, 0.0]))
    assert module.other.weight.grad is None
