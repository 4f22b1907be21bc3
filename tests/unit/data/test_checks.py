from typing import Any

import pytest
import torch
from torch import Tensor

from modelpress.data.checks import check
from modelpress.data.dataset import Augmentations, Dataset, Split
from modelpress.errors import DataError
from tests.unit.data.sources import tiny


def with_train(inputs: Tensor | None = None, targets: Tensor | None = None, dtype: str = "uint8") -> Dataset:
    dataset = tiny(10)
    train = dataset.splits["train"]
    changed = Split(train.inputs if inputs is None else inputs, train.targets if targets is None else targets)
    description = dataset.description.model_copy(
        update={"input": dataset.description.input.model_copy(update={"dtype": dtype})}
    )
    return Dataset(description, {"train": changed})


def with_input(shape: tuple[int, ...] = (1, 4, 4), **changes: Any) -> Dataset:
    dataset = tiny(10, shape)
    description = dataset.description.input.model_copy(update=changes)
    return Dataset(dataset.description.model_copy(update={"input": description}), dataset.splits)


def spoiled(value: float) -> Tensor:
    inputs = torch.zeros(10, 1, 4, 4)
    inputs[7, 0, 2, 1] = value
    return inputs


def labels(index: int, value: int) -> Tensor:
    targets = torch.zeros(10, dtype=torch.int64)
    targets[index:] = value
    return targets


def test_a_sound_dataset_passes() -> None:
    check(tiny())
    check(with_train(torch.rand(10, 1, 4, 4), dtype="float32"))
    check(with_input(mean=(0.1,), deviation=(0.2,)))


FAULTS = {
    "label too high": (
        with_train(targets=labels(4, 3)),
        "label of sample 4 of split 'train' is 3: there are 3 classes, 0 to 2",
    ),
    "label negative": (with_train(targets=labels(2, -1)), "label of sample 2 of split 'train' is -1"),
    "labels of floats": (with_train(targets=torch.zeros(10)), "torch.float32: expected torch.int64"),
    "too few labels": (with_train(targets=labels(0, 0)[:9]), "has 10 samples, but labels of shape [9]"),
    "one-hot labels": (with_train(targets=torch.zeros(10, 3, dtype=torch.int64)), "labels of shape [10, 3]"),
    "NaN": (with_train(spoiled(float("nan")), dtype="float32"), "sample 7 of split 'train' holds NaN or infinity"),
    "infinity": (with_train(spoiled(float("-inf")), dtype="float32"), "sample 7 of split 'train' holds NaN"),
    "other shape": (
        with_train(torch.zeros(10, 1, 4, 5, dtype=torch.uint8)),
        "has shape [1, 4, 5]: expected [1, 4, 4]",
    ),
    "other dtype": (with_train(torch.zeros(10, 1, 4, 4)), "are float32: expected uint8"),
    "empty split": (
        with_train(torch.zeros(0, 1, 4, 4, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64)),
        "split 'train' is empty",
    ),
    "no splits": (Dataset(tiny().description, {}), "no splits"),
    "unknown split": (Dataset(tiny().description, {"tset": tiny().splits["test"]}), "'tset' is no name"),  # type: ignore[dict-item]
    "means": (with_input(mean=(0.0, 0.0)), "mean has 2 entries: expected 1, or 1 as there are channels"),
    "deviations": (with_input((3, 2, 2), deviation=(1.0, 1.0)), "deviation has 2 entries: expected 1, or 3"),
    "deviation zero": (with_input(deviation=(0.0,)), "deviation is [0.0]: expected numbers above 0"),
    "deviation NaN": (with_input(deviation=(float("nan"),)), "deviation is [nan]"),
    "flipped vectors": (
        tiny(10, (16,), augmentations=Augmentations(horizontal_flip=True)),
        "no images [c, h, w]: they cannot be flipped or cropped",
    ),
}


@pytest.mark.parametrize(("dataset", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_named_with_its_place(dataset: Dataset, message: str) -> None:
    with pytest.raises(DataError) as caught:
        check(dataset)
    assert message in str(caught.value)
