"""Small datasets and source files for the tests of this folder."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modelpress.data.dataset import DataDescription, Dataset, InputDescription, Split, SplitName
from modelpress.data.idx_folder import FILES

COUNTS: dict[SplitName, int] = {"train": 48, "test": 10}


def images(count: int, *shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def labels(count: int, classes: int = 3) -> NDArray[np.uint8]:
    return np.arange(count, dtype=np.uint8) % classes


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx_folder(folder: Path, *, zipped: bool = True) -> Path:
    """A small member of the MNIST family: 48 and 10 images of 6x5 in three classes."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (split, (image_file, label_file)) in enumerate(FILES.items()):
        count = COUNTS[split]
        for name, array in ((image_file, images(count, 6, 5, seed=seed)), (label_file, labels(count))):
            data = idx_bytes(array)
            (folder / (name + ".gz" * zipped)).write_bytes(gzip.compress(data) if zipped else data)
    return folder


def npz_arrays(**changes: Any) -> dict[str, Any]:
    arrays: dict[str, Any] = {
        "x_train": images(48, 6, 5),
        "y_train": labels(48),
        "x_test": images(10, 6, 5, seed=1),
        "y_test": labels(10),
    }
    return {name: array for name, array in {**arrays, **changes}.items() if array is not None}


def write_npz(path: Path, **changes: Any) -> Path:
    np.savez(path, **npz_arrays(**changes))
    return path


def tiny(count: int = 10, shape: tuple[int, ...] = (1, 4, 4), **description: Any) -> Dataset:
    """A dataset of two splits with values that tell samples apart."""
    inputs = torch.arange(count * int(np.prod(shape)), dtype=torch.int64).view(count, *shape) % 251
    split = Split(inputs.to(torch.uint8), torch.arange(count) % 3)
    return Dataset(
        DataDescription(input=InputDescription(shape=shape), class_names=("a", "b", "c"), **description),
        {"train": split, "test": Split(split.inputs[:3], split.targets[:3])},
    )
