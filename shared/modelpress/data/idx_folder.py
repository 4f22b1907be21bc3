"""A folder with the four files of the MNIST family."""

from __future__ import annotations

from pathlib import Path

from modelpress.data.dataset import Dataset, Split, SplitName
from modelpress.data.idx import read_idx
from modelpress.data.splits import ImportOptions, as_split, assemble
from modelpress.errors import DataError

FILES: dict[SplitName, tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
"""Images and labels of each split; gzipped they end in ``.gz``."""


def has_idx_files(path: Path) -> bool:
    """Whether ``path`` is a folder with the training images of the MNIST family."""
    return _find(path, FILES["train"][0]) is not None


def is_complete(path: Path) -> bool:
    """Whether ``path`` is a folder with all four files."""
    return all(_find(path, name) for names in FILES.values() for name in names)


def import_idx_folder(path: Path, options: ImportOptions | None = None) -> Dataset:
    """The dataset in a folder with ``train-images-idx3-ubyte``, ``t10k-labels-idx1-ubyte`` ..., plain or ``.gz``.

    Raises:
        DataError: a file is missing, damaged, or holds data that cannot be used.
    """
    options = options or ImportOptions()
    return assemble({name: _split(path, name, options) for name in FILES}, options, str(path))


def _split(path: Path, name: SplitName, options: ImportOptions) -> Split:
    images, labels = (read_idx(_required(path, file)) for file in FILES[name])
    return as_split(images, labels, options.layout, f"'{name}' in {path}")


def _required(path: Path, name: str) -> Path:
    found = _find(path, name)
    if found is None:
        raise DataError(f"{path} has no file {name} or {name}.gz: the four files of the MNIST family are needed")
    return found


def _find(path: Path, name: str) -> Path | None:
    return next((file for file in (path / name, path / f"{name}.gz") if file.is_file()), None)
