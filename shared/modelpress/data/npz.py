"""Arrays of a NumPy archive as splits. Nothing is unpickled."""

from __future__ import annotations

import lzma
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelpress.data.dataset import SplitName
from modelpress.errors import DataError, NotFoundError

_NAMES: dict[SplitName, tuple[tuple[str, str], ...]] = {
    "train": (("x_train", "y_train"), ("train_inputs", "train_targets"), ("train_images", "train_labels")),
    "validation": (
        ("x_val", "y_val"),
        ("validation_inputs", "validation_targets"),
        ("val_images", "val_labels"),
    ),
    "test": (("x_test", "y_test"), ("test_inputs", "test_targets"), ("test_images", "test_labels")),
}

Arrays = tuple[NDArray[Any], NDArray[Any]]
MAX_BYTES = 16 * 2**30
"""Of an archive's arrays, unpacked."""
_UNREADABLE = (
    ValueError, OSError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
    tokenize.TokenError,
)  # fmt: skip


def read_npz(path: Path) -> dict[SplitName, Arrays]:
    """Inputs and targets of each split that the archive has, under any of the usual names.

    Raises:
        NotFoundError: there is no such file.
        DataError: it is no NumPy archive, is damaged, holds Python objects, or has only half of a split.
    """
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}")
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is no .npz file: it is no zip archive")
    try:
        _check_size(path)
        with np.load(path, allow_pickle=False) as archive:
            return _splits(archive, path)
    except _UNREADABLE as e:
        raise DataError(f"{path} cannot be read: {e}") from e


def _check_size(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        size_bytes = sum(member.file_size for member in archive.infolist())
    if size_bytes > MAX_BYTES:
        raise DataError(f"{path} would take {size_bytes} bytes unpacked; the limit is {MAX_BYTES}")


def _array(archive: Mapping[str, NDArray[Any]], name: str, path: Path) -> NDArray[Any]:
    value: object = archive[name]
    if not isinstance(value, np.ndarray):
        raise DataError(f"{path}: '{name}' is no NumPy array")
    return value


def _splits(archive: Mapping[str, NDArray[Any]], path: Path) -> dict[SplitName, Arrays]:
    found: dict[SplitName, Arrays] = {}
    for split, pairs in _NAMES.items():
        for inputs, targets in pairs:
            present = [name for name in (inputs, targets) if name in archive]
            if len(present) == 1:
                raise DataError(f"{path} has '{present[0]}' alone: expected both '{inputs}' and '{targets}'")
            if present and split not in found:
                found[split] = (_array(archive, inputs, path), _array(archive, targets, path))
    if not found:
        raise DataError(f"{path} has the arrays {list(archive)}: expected x_train, y_train, x_test and y_test")
    return found
