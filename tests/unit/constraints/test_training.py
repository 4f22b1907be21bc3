"""Whoever trains, trains under constraints without knowing them."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from modelpress.constraints.attach import attach
from modelpress.constraints.mask import Mask
from modelpress.constraints.stack import shape_of, stored_of, tensors_of
from modelpress.graph.export import export
from modelpress.graph.forms import described, violations
from modelpress.graph.model import Model
from modelpress.graph.serialise import load, save
from modelpress.job import LocalJob, MemoryCheckpoints
from modelpress.testing.blobs import BlobNet, blobs
from modelpress.testing.constraints import value_of
from modelpress.training.loop import FitSettings, fit
from modelpress.training.objectives import CrossEntropy, Distillation, Objective

DATA = blobs()
PATHS = ("stem.0.weight", "inner.0.weight", "inner.3.weight", "head.weight")
SETTINGS = FitSettings(epochs=3, learning_rate=0.1, batch_size=64, weight_decay=0.05)


def net(width: int = 8) -> nn.Module:
    torch.manual_seed(0)
    return BlobNet(width).eval()


def masked() -> tuple[Model, dict[str, Tensor]]:
    """A quarter of each weight stays; the model was saved and loaded before it is trained."""
    model = export(net(), torch.randn(2, 1, 8, 8), check=False)
    keep = {path: torch.rand(shape_of(*tensors_of(model.module)[path])) < 0.25 for path in PATHS}
    for path, mask in keep.items():
        attach(model.module, path, Mask(mask))
    files = save(described(model))
    return load(files.graph_json, files.tensors), keep


class Watched:
    """An objective that looks at the weights before every step but the first, and so after every one but the last."""

    def __init__(self, objective: Objective, model: Model, keep: dict[str, Tensor]) -> None:
        self.objective, self.model, self.keep, self.looks = objective, model, keep, 0

    def __call__(self, module: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        self.look()
        return self.objective(module, inputs, targets)

    def look(self) -> None:
        self.looks += 1
        for path, mask in self.keep.items():
            assert torch.equal(value_of(self.model, path)[~mask], torch.zeros(int((~mask).sum()))), path


@pytest.mark.parametrize(
    "objective", [CrossEntropy(), Distillation(net(16), temperature=2.0, alpha=0.5)], ids=["ce", "kd"]
)
def test_the_training_loop_keeps_every_pruned_entry_at_zero(objective: Objective) -> None:
    model, keep = masked()
    before = copy.deepcopy(model)
    watched = Watched(objective, model, keep)
    history = fit(model.module, DATA, watched, SETTINGS, LocalJob())
    watched.look()
    assert watched.looks == SETTINGS.epochs * (512 // 64) + 1
    assert violations(model) == []
    assert history.last.loss < history.epochs[0].loss
    for path, mask in keep.items():
        (stored,) = stored_of(*tensors_of(model.module)[path])
        (start,) = stored_of(*tensors_of(before.module)[path])
        assert not torch.equal(value_of(model, path), value_of(before, path))
        assert not torch.equal(stored[~mask], start[~mask]), "weight decay moves what is stored, and may"


def test_training_that_was_cut_off_goes_on_under_the_mask_to_the_same_bits() -> None:
    class Cut(MemoryCheckpoints):
        """Keeps the first checkpoint only."""

        def save(self, data: bytes) -> None:
            self.data = self.data or data

    first, _ = masked()
    torch.manual_seed(0)
    second = copy.deepcopy(first)
    kept = Cut()
    fit(first.module, DATA, CrossEntropy(), SETTINGS, LocalJob(checkpoints=kept))
    resumed = LocalJob(checkpoints=MemoryCheckpoints())
    resumed.checkpoints.save(kept.data or b"")
    fit(second.module, DATA, CrossEntropy(), SETTINGS, resumed)
    assert "training goes on after epoch 1 of 3" in resumed.lines
    assert save(first) == save(second)
