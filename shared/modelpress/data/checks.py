"""What makes a dataset unusable, found before anything is trained or written."""

from __future__ import annotations

import torch
from torch import Tensor

from modelpress.data.dataset import SPLITS, DataDescription, Dataset, InputDescription, Split
from modelpress.errors import DataError


def check(dataset: Dataset) -> None:
    """Check splits and description against each other.

    Raises:
        DataError: no split, an empty one, wrong shapes or dtypes, NaN or infinite inputs, labels out of range,
            a mean or deviation that does not fit, augmentations of what are no images.
    """
    description = dataset.description
    if not dataset.splits:
        raise DataError("the dataset has no splits")
    for name, split in dataset.splits.items():
        if name not in SPLITS:
            raise DataError(f"'{name}' is no name for a split: expected one of {', '.join(SPLITS)}")
        check_split(name, split, description.input, len(description.class_names))
    _check_description(description)


def check_split(name: str, split: Split, description: InputDescription, classes: int | None) -> None:
    """Check one split; ``classes`` None means that any label from 0 up will do.

    Raises:
        DataError: as `check`; says the split and the first sample that is wrong.
    """
    if len(split) == 0:
        raise DataError(f"split '{name}' is empty")
    _check_inputs(name, split.inputs, description)
    _check_targets(name, split.targets, len(split), classes)


def _check_inputs(name: str, inputs: Tensor, description: InputDescription) -> None:
    dtype = str(inputs.dtype).removeprefix("torch.")
    if dtype != description.dtype:
        raise DataError(f"inputs of split '{name}' are {dtype}: expected {description.dtype}")
    if tuple(inputs.shape[1:]) != description.shape:
        raise DataError(
            f"a sample of split '{name}' has shape {list(inputs.shape[1:])}: expected {list(description.shape)}"
        )
    if inputs.dtype.is_floating_point:
        finite = inputs.isfinite().flatten(1).all(1)
        if not finite.all():
            raise DataError(f"sample {_first(~finite)} of split '{name}' holds NaN or infinity")


def _check_targets(name: str, targets: Tensor, count: int, classes: int | None) -> None:
    if tuple(targets.shape) != (count,):
        raise DataError(f"split '{name}' has {count} samples, but labels of shape {list(targets.shape)}")
    if targets.dtype != torch.int64:
        raise DataError(f"labels of split '{name}' are {targets.dtype}: expected torch.int64")
    wrong = targets < 0
    if classes is not None:
        wrong |= targets >= classes
    if wrong.any():
        index = _first(wrong)
        known = f"there are {classes} classes, 0 to {classes - 1}" if classes is not None else "labels begin at 0"
        raise DataError(f"the label of sample {index} of split '{name}' is {int(targets[index])}: {known}")


def _check_description(description: DataDescription) -> None:
    shape = description.input.shape
    for what, values in (("mean", description.input.mean), ("deviation", description.input.deviation)):
        if len(values) not in (1, *shape[:1]):
            raise DataError(f"{what} has {len(values)} entries: expected 1, or {shape[0]} as there are channels")
    if not all(value > 0 for value in description.input.deviation):
        raise DataError(f"deviation is {list(description.input.deviation)}: expected numbers above 0")
    augmentations = description.augmentations
    if len(shape) != 3 and (augmentations.horizontal_flip or augmentations.crop_padding):
        raise DataError(f"samples of shape {list(shape)} are no images [c, h, w]: they cannot be flipped or cropped")


def _first(flags: Tensor) -> int:
    return int(flags.nonzero()[0])
