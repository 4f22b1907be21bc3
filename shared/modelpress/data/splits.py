"""From the splits that a source has to the four that a dataset has, with what the model expects of its input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from modelpress.data.checks import check, check_split
from modelpress.data.dataset import Augmentations, DataDescription, Dataset, InputDescription, Split, SplitName
from modelpress.data.randomness import stream
from modelpress.errors import DataError

Layout = Literal["nchw", "nhwc"]
_CHANNELS = (1, 3, 4)


class ImportOptions(BaseModel):
    """What may be said about a source; whatever is left out is found from the data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    class_names: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="Default: the labels, '0', '1', ..."
    )
    augmentations: Augmentations = Augmentations()
    validation_share: float = Field(
        default=1 / 12, gt=0, lt=1, description="Of train, where the source has no validation."
    )
    calibration_size: int = Field(default=512, ge=1, description="Samples of train, which stay in train.")
    seed: int = Field(default=0, description="Chooses the samples for validation and calibration.")
    layout: Layout | None = Field(
        default=None, description="Of images with channels; needed where their shape does not tell."
    )
    scale: float | None = Field(default=None, gt=0, description="Default: 1/255 for uint8, else 1.")
    mean: tuple[float, ...] | None = Field(default=None, description="Of value * scale; default: of train.")
    deviation: tuple[float, ...] | None = Field(default=None, description="Of value * scale; default: of train.")


def assemble(given: Mapping[SplitName, Split], options: ImportOptions, source: str) -> Dataset:
    """The dataset made of ``given``, checked. ``source`` is what messages call it.

    Without a validation split one is taken out of train. Calibration is a part of train and stays in it.
    Without class names there are as many classes as train's highest label says.

    Raises:
        DataError: train or test is missing, or the data cannot be used.
    """
    for name in ("train", "test"):
        if name not in given:
            raise DataError(f"{source} has no {name} split: a dataset needs train and test data")
    train = given["train"]
    description = _describe_raw(train, options)
    for name, split in given.items():
        check_split(name, split, description, None)
    class_names = options.class_names or _numbered_classes(train, source)
    splits = _four_splits(given, options)
    dataset = Dataset(
        DataDescription(
            input=_with_statistics(description, splits["train"].inputs, options),
            class_names=class_names,
            augmentations=options.augmentations,
        ),
        splits,
    )
    check(dataset)
    return dataset


def _numbered_classes(train: Split, source: str) -> tuple[str, ...]:
    """ "0", "1", ... up to the highest label of train.

    Raises:
        DataError: it is higher than any data could need, so it is no class index.
    """
    highest = int(train.targets.max())
    if highest >= len(train):
        raise DataError(f"{source}: the highest label of train is {highest}, with only {len(train)} samples")
    return tuple(str(i) for i in range(highest + 1))


def as_split(inputs: NDArray[Any], targets: NDArray[Any], layout: Layout | None, where: str) -> Split:
    """Arrays as a split: images [n, h, w], [n, h, w, c] or [n, c, h, w], or vectors [n, f]; labels [n] or [n, 1].

    float64 and float16 become float32, labels int64.

    Raises:
        DataError: another shape or dtype; says where.
    """
    if inputs.dtype in (np.float64, np.float16):
        with np.errstate(over="ignore"):
            inputs = inputs.astype(np.float32)
    if inputs.dtype not in (np.uint8, np.float32):
        raise DataError(f"inputs of {where} are {inputs.dtype}: expected uint8 or float32")
    if not np.issubdtype(targets.dtype, np.integer):
        raise DataError(f"labels of {where} are {targets.dtype}: expected whole numbers, the indices of classes")
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    return Split(torch.from_numpy(_channels_first(inputs, layout, where)), torch.from_numpy(targets.astype(np.int64)))


def _channels_first(inputs: NDArray[Any], layout: Layout | None, where: str) -> NDArray[Any]:
    if inputs.ndim == 3:
        inputs = inputs[:, None]
    elif inputs.ndim == 4:
        if (layout or _told_layout(inputs.shape, where)) == "nhwc":
            inputs = inputs.transpose(0, 3, 1, 2)
    elif inputs.ndim != 2:
        raise DataError(
            f"inputs of {where} have shape {list(inputs.shape)}: expected [n, h, w], [n, h, w, c] or [n, c, h, w] "
            "for images, [n, f] for vectors"
        )
    return np.ascontiguousarray(inputs)


def _told_layout(shape: tuple[int, ...], where: str) -> Layout:
    first, last = shape[1] in _CHANNELS, shape[3] in _CHANNELS
    if first == last:
        raise DataError(
            f"inputs of {where} have shape {list(shape)}, which does not tell where the channels are: "
            "give layout='nchw' or layout='nhwc'"
        )
    return "nchw" if first else "nhwc"


def _four_splits(given: Mapping[SplitName, Split], options: ImportOptions) -> dict[SplitName, Split]:
    train = given["train"]
    if "validation" in given:
        validation = given["validation"]
    else:
        train, validation = _divided(train, options)
    order = torch.randperm(len(train), generator=stream(options.seed, "calibration"))
    calibration = _chosen(train, order[: options.calibration_size])
    return {"train": train, "calibration": calibration, "validation": validation, "test": given["test"]}


def _divided(train: Split, options: ImportOptions) -> tuple[Split, Split]:
    if len(train) < 2:
        raise DataError("train has one sample: validation cannot be taken out of it")
    order = torch.randperm(len(train), generator=stream(options.seed, "validation"))
    count = min(max(1, round(len(train) * options.validation_share)), len(train) - 1)
    return _chosen(train, order[count:]), _chosen(train, order[:count])


def _chosen(split: Split, indices: Tensor) -> Split:
    """The samples at ``indices``, in the order of the split."""
    indices = indices.sort().values
    return Split(split.inputs[indices], split.targets[indices])


def _describe_raw(train: Split, options: ImportOptions) -> InputDescription:
    is_bytes = train.inputs.dtype == torch.uint8
    return InputDescription(
        shape=tuple(train.inputs.shape[1:]),
        dtype="uint8" if is_bytes else "float32",
        scale=options.scale or (1 / 255 if is_bytes else 1.0),
    )


def _with_statistics(description: InputDescription, train: Tensor, options: ImportOptions) -> InputDescription:
    mean, deviation = statistics(train, description.scale)
    return description.model_copy(update={"mean": options.mean or mean, "deviation": options.deviation or deviation})


def statistics(inputs: Tensor, scale: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of value * scale, to six digits: a channel of images, a feature of float vectors.

    uint8 vectors are taken for flattened images, with one mean for all. What is constant gets deviation 1.
    """
    if inputs.ndim == 2 and inputs.dtype == torch.uint8:
        inputs = inputs[:, None]
    moments = _byte_moments if inputs.dtype == torch.uint8 else _float_moments
    means, deviations = zip(*(moments(channel) for channel in inputs.unbind(1)), strict=True)
    return (
        tuple(_six_digits(mean * scale) for mean in means),
        tuple(_six_digits(deviation * scale) or 1.0 for deviation in deviations),
    )


def _byte_moments(values: Tensor) -> tuple[float, float]:
    counts = torch.bincount(values.flatten(), minlength=256).double()
    numbers = torch.arange(256, dtype=torch.float64)
    mean = float((counts * numbers).sum() / counts.sum())
    variance = float((counts * (numbers - mean) ** 2).sum() / counts.sum())
    return mean, variance**0.5


def _float_moments(values: Tensor) -> tuple[float, float]:
    wide = values.double()
    return float(wide.mean()), float(wide.std(correction=0))


def _six_digits(value: float) -> float:
    # Sums of floats differ in their last bits with the number of threads; the description's digest must not.
    return float(f"{value:.6g}")
