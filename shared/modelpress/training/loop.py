"""The one training loop: every method that trains comes through `fit`.

Invariant: a run that was cut off and goes on from its checkpoint ends with the same bits as one that was not. All
randomness comes from the job's seed (order and augmentation by seed and epoch, dropout from a generator whose state
is in the checkpoint), and the learning rate is a function of the step.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from modelpress.data.dataset import Dataset
from modelpress.errors import InputError, ModelFormatError, StepError
from modelpress.job import Job
from modelpress.training import checkpoint
from modelpress.training.evaluate import top1
from modelpress.training.layout import channels_last, lay_out
from modelpress.training.objectives import Objective
from modelpress.training.schedules import one_cycle

MOMENTUM = 0.9
REPORT_EVERY_S = 2.0


@dataclass(frozen=True)
class FitSettings:
    """How to train: Nesterov momentum 0.9, one learning-rate cycle over all steps.

    ``weight_decay`` spares one-dimensional parameters (scales of norms, biases). ``warmup_share`` is the part of all
    steps in which the rate rises to ``learning_rate``.
    """

    epochs: int
    learning_rate: float
    batch_size: int = 128
    weight_decay: float = 5e-4
    warmup_share: float = 0.15


@dataclass(frozen=True)
class Epoch:
    """A finished epoch: mean training loss, the objective's own figures (means), validation top-1 in percent."""

    loss: float
    figures: dict[str, float]
    top1: float


@dataclass(frozen=True)
class History:
    """The finished epochs in order."""

    epochs: tuple[Epoch, ...]

    @property
    def last(self) -> Epoch:
        return self.epochs[-1]


def fit(module: nn.Module, data: Dataset, objective: Objective, settings: FitSettings, job: Job) -> History:
    """Train ``module`` in place on the train split and leave it in eval mode.

    Four-dimensional parameters are trained in ``channels_last`` and handed back contiguous. Progress is reported at
    least every two seconds; a checkpoint is taken after each epoch, and one that fits is continued from.

    Raises:
        DataError: the dataset lacks the train or validation split.
        InputError: the train split has fewer samples than a batch.
        StepError: the loss is no finite number any more.
    """
    steps = len(data.split("train")) // settings.batch_size
    if steps == 0:
        count = len(data.split("train"))
        raise InputError(f"batch_size: {settings.batch_size} is more than the train split's {count} samples")
    lay_out(module, torch.channels_last)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        epochs = _Run(module, data, objective, settings, job, steps).epochs()
    lay_out(module, torch.contiguous_format)
    module.eval()
    return History(epochs)


class _Run:
    def __init__(
        self, module: nn.Module, data: Dataset, objective: Objective, settings: FitSettings, job: Job, steps: int
    ) -> None:
        self._module, self._data, self._objective = module, data, objective
        self._settings, self._job, self._steps = settings, job, steps
        self._optimizer = _optimizer(module, settings)
        self._clock = _Clock(settings.epochs * steps)

    def epochs(self) -> tuple[Epoch, ...]:
        finished = self._resume()
        for index in range(len(finished), self._settings.epochs):
            finished.append(self._epoch(index))
            facts = {"settings": asdict(self._settings), "epochs": [asdict(e) for e in finished]}
            self._job.checkpoints.save(checkpoint.capture(self._module, self._optimizer, facts))
            self._report(index + 1, loss=finished[-1].loss, **finished[-1].figures, top1=finished[-1].top1)
        return tuple(finished)

    def _resume(self) -> list[Epoch]:
        data = self._job.checkpoints.load()
        if data is None:
            return []
        try:
            found = checkpoint.parse(data)
        except ModelFormatError as error:
            self._job.log(f"training starts anew: {error}")
            return []
        why = self._mismatch(found)
        if why is not None:
            self._job.log(f"training starts anew: the checkpoint is another run's: {why}")
            return []
        checkpoint.restore(found, self._module, self._optimizer)
        finished = [Epoch(**epoch) for epoch in found.facts["epochs"]]
        self._clock.skip(len(finished) * self._steps)
        self._job.log(f"training goes on after epoch {len(finished)} of {self._settings.epochs}")
        return finished

    def _mismatch(self, found: checkpoint.Checkpoint) -> str | None:
        settings: dict[str, Any] = asdict(self._settings)
        if found.facts["settings"] != settings:
            return f"it was trained with {found.facts['settings']}, asked is {settings}"
        return checkpoint.mismatch(found, self._module)

    def _epoch(self, index: int) -> Epoch:
        self._module.train()
        sums: Counter[str] = Counter()
        size, seed = self._settings.batch_size, self._job.seed
        batches = self._data.batches("train", size, augment=True, shuffle=True, seed=seed, epoch=index)
        for step, (inputs, targets) in enumerate(batches):
            sums.update(self._step(index * self._steps + step, inputs, targets))
            if self._clock.tick():
                self._report(index + (step + 1) / self._steps, loss=sums["loss"] / (step + 1))
        means = {name: total / self._steps for name, total in sums.items()}
        return Epoch(means.pop("loss"), means, top1(self._module, self._data, "validation"))

    def _step(self, step: int, inputs: Tensor, targets: Tensor) -> dict[str, float]:
        settings = self._settings
        rate = one_cycle(step, settings.epochs * self._steps, settings.learning_rate, settings.warmup_share)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad()
        loss, figures = self._objective(self._module, channels_last(inputs), targets)
        value = loss.item()
        if not math.isfinite(value):
            raise StepError(f"training diverged: the loss is {value} at step {step}; try a smaller learning rate")
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        return {"loss": value, **figures}

    def _report(self, done: float, **metrics: float) -> None:
        self._job.progress("train", done, self._settings.epochs, **metrics, seconds_left=self._clock.seconds_left())


def _optimizer(module: nn.Module, settings: FitSettings) -> torch.optim.SGD:
    trained = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=MOMENTUM, nesterov=True)


class _Clock:
    """When to report, and how long the rest will take. Shows only; nothing that is computed depends on it."""

    def __init__(self, steps: int) -> None:
        self._left, self._taken = steps, 0
        self._start = self._reported = time.monotonic()

    def skip(self, steps: int) -> None:
        self._left -= steps

    def tick(self) -> bool:
        """Count a step; True where it is time to report."""
        self._left, self._taken = self._left - 1, self._taken + 1
        now = time.monotonic()
        due = now - self._reported >= REPORT_EVERY_S
        if due:
            self._reported = now
        return due

    def seconds_left(self) -> float:
        elapsed_s = time.monotonic() - self._start
        return elapsed_s / self._taken * self._left if self._taken else 0.0
