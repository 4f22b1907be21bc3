import copy
import hashlib
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from modelpress.data.dataset import Augmentations
from modelpress.errors import InputError, StepError
from modelpress.job import LocalJob
from modelpress.testing.blobs import CLASSES, blobs
from modelpress.training.loop import FitSettings, fit
from modelpress.training.objectives import CrossEntropy

DATA = blobs(augmentations=Augmentations(horizontal_flip=True, crop_padding=1))
SETTINGS = FitSettings(epochs=4, learning_rate=0.05, batch_size=64)


class Interrupted(Exception):
    pass


@dataclass
class FailingJob(LocalJob):
    """Raises as soon as ``fail_after`` epochs are behind it."""

    fail_after: int = 0

    def progress(self, stage: str, done: float, total: float, **metrics: float) -> None:
        super().progress(stage, done, total, **metrics)
        if done >= self.fail_after:
            raise Interrupted


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(288, CLASSES),
    )


def digest(module: nn.Module) -> str:
    state = module.state_dict()
    return hashlib.sha256(b"".join(state[name].contiguous().numpy().tobytes() for name in sorted(state))).hexdigest()


def trained(job: LocalJob, settings: FitSettings = SETTINGS) -> nn.Module:
    module = network()
    fit(module, DATA, CrossEntropy(), settings, job)
    return module


def test_learns_and_reports_each_epoch() -> None:
    job, module = LocalJob(), network()
    history = fit(module, blobs(), CrossEntropy(), SETTINGS, job)
    assert history.last.top1 > 80
    assert history.last.loss < history.epochs[0].loss
    done = [event for event in job.events if event[1] == int(event[1])]
    assert [(stage, epoch, total) for stage, epoch, total, _ in done] == [("train", e, 4) for e in (1, 2, 3, 4)]
    assert done[-1][3]["top1"] == history.last.top1
    assert done[-1][3]["seconds_left"] == 0
    assert not module.training
    assert all(p.is_contiguous() for p in module.parameters())


def test_equal_seeds_give_equal_bits_and_other_seeds_others() -> None:
    first = digest(trained(LocalJob(seed=5)))
    assert digest(trained(LocalJob(seed=5))) == first
    assert digest(trained(LocalJob(seed=6))) != first


@pytest.mark.parametrize("epoch", [1, 3, 4])
def test_an_interrupted_run_ends_with_the_same_bits(epoch: int) -> None:
    whole = trained(LocalJob())
    broken = FailingJob(fail_after=epoch)
    with pytest.raises(Interrupted):
        trained(broken)
    job = LocalJob(checkpoints=broken.checkpoints)
    assert digest(trained(job)) == digest(whole)
    assert job.lines == [f"training goes on after epoch {epoch} of 4"]
    assert len(job.events) == 4 - epoch


def test_the_callers_random_state_is_left_alone() -> None:
    module = network()
    before = torch.get_rng_state()
    fit(module, DATA, CrossEntropy(), SETTINGS, LocalJob())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("settings", [SETTINGS, FitSettings(epochs=5, learning_rate=0.05, batch_size=64)])
def test_a_checkpoint_of_something_else_is_not_used_and_the_log_says_so(settings: FitSettings) -> None:
    other = LocalJob()
    wider = nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES)) if settings is SETTINGS else network()
    fit(wider, DATA, CrossEntropy(), SETTINGS, other)
    job = LocalJob(checkpoints=other.checkpoints)
    assert digest(trained(job, settings)) == digest(trained(LocalJob(), settings))
    assert "starts anew: the checkpoint is another run's" in job.lines[0]


def test_a_broken_checkpoint_is_not_used_and_the_log_says_so() -> None:
    job = LocalJob()
    job.checkpoints.save(b"broken")
    assert digest(trained(job)) == digest(trained(LocalJob()))
    assert "no training checkpoint" in job.lines[0]


def test_weight_decay_spares_one_dimensional_parameters() -> None:
    class Nothing:
        def __call__(
            self, module: nn.Module, inputs: torch.Tensor, targets: torch.Tensor
        ) -> tuple[torch.Tensor, dict[str, float]]:
            return torch.stack([p.sum() for p in module.parameters()]).sum() * 0.0, {}

    module = network()
    before = copy.deepcopy(module)
    fit(module, DATA, Nothing(), FitSettings(1, 0.05, 64, weight_decay=0.1), LocalJob())
    for (name, now), then in zip(module.named_parameters(), before.parameters(), strict=True):
        assert torch.equal(now, then) == (now.ndim == 1), name


def test_frozen_parameters_stay() -> None:
    module = network()
    frozen = module.get_parameter("0.weight").requires_grad_(False).clone()
    fit(module, DATA, CrossEntropy(), SETTINGS, LocalJob())
    assert torch.equal(module.get_parameter("0.weight"), frozen)


def test_no_epochs_change_nothing() -> None:
    module = network()
    assert fit(module, DATA, CrossEntropy(), FitSettings(0, 0.1), LocalJob()).epochs == ()
    assert digest(module) == digest(network())


def test_a_batch_larger_than_the_split_is_an_input_error() -> None:
    with pytest.raises(InputError, match="batch_size: 1000 is more than the train split's 512 samples"):
        fit(network(), DATA, CrossEntropy(), FitSettings(1, 0.1, 1000), LocalJob())


def test_divergence_is_told() -> None:
    with pytest.raises(StepError, match="diverged: the loss is nan"):
        fit(network(), DATA, CrossEntropy(), FitSettings(2, 1e12, 64), LocalJob())
