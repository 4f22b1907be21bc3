import pytest
import torch
from torch import Tensor, nn

from modelpress.data.dataset import Dataset
from modelpress.errors import DataError
from modelpress.testing.blobs import CLASSES, blobs
from modelpress.training.evaluate import top1


class AlwaysFirst(nn.Module):
    """Says class 0, and remembers in which mode it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.modes: set[bool] = set()

    def forward(self, inputs: Tensor) -> Tensor:
        self.modes.add(self.training)
        return nn.functional.one_hot(torch.zeros(len(inputs), dtype=torch.int64), CLASSES).float()


def test_percent_of_hits_over_more_than_one_batch() -> None:
    data = blobs(evaluation=1203)
    expected = 100 * (data.split("test").targets == 0).sum().item() / 1203
    assert top1(AlwaysFirst(), data, "test") == pytest.approx(expected)


def test_evaluates_in_eval_mode_and_leaves_the_mode_as_it_was() -> None:
    module = AlwaysFirst().train()
    top1(module, blobs(), "validation")
    assert module.modes == {False}
    assert module.training


def test_a_missing_split_is_named() -> None:
    data = blobs()
    with pytest.raises(DataError, match="no split 'test'"):
        top1(AlwaysFirst(), Dataset(data.description, {"train": data.split("train")}), "test")
