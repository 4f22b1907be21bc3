"""Bring datasets in: Fashion-MNIST by name, folders of IDX files, NumPy archives.

Every importer gives the four splits and a description (see `modelpress.data.splits.ImportOptions` for what can be
said about a source), checked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from modelpress.config.settings import Settings, load_settings
from modelpress.data import fashion_mnist
from modelpress.data.dataset import Dataset
from modelpress.data.idx import read_idx
from modelpress.data.idx_folder import has_idx_files, import_idx_folder
from modelpress.data.npz import read_npz
from modelpress.data.splits import ImportOptions, as_split, assemble
from modelpress.errors import InputError, NotFoundError

__all__ = ["import_data", "import_idx_folder", "import_npz", "read_idx"]


def import_data(source: str, *, settings: Settings | None = None, **options: Any) -> Dataset:
    """The dataset that ``source`` names: ``fashion-mnist``, a folder with IDX files, or an .npz file.

    ``options`` are fields of `ImportOptions`; ``settings`` say where Fashion-MNIST may lie (default: as the
    environment says).

    Raises:
        NotFoundError: ``source`` is none of these.
        DataError: the data cannot be used, or cannot be had.
        InputError: an option is unknown or has a value that cannot be.
    """
    if source == fashion_mnist.NAME:
        defaults = fashion_mnist.OPTIONS.model_dump(exclude_unset=True)
        return fashion_mnist.import_fashion_mnist(settings or load_settings(), _checked(defaults | options))
    path = Path(source).expanduser()
    if path.is_dir() and has_idx_files(path):
        return import_idx_folder(path, _checked(options))
    if path.is_file() and path.suffix == ".npz":
        return import_npz(path, _checked(options))
    problem = "is there, but is none of these" if path.exists() else "names none of these"
    raise NotFoundError(
        f"'{source}' {problem}: '{fashion_mnist.NAME}', a folder with IDX files "
        "(train-images-idx3-ubyte.gz and its three companions), an .npz file (x_train, y_train, x_test, y_test)"
    )


def import_npz(path: Path, options: ImportOptions | None = None) -> Dataset:
    """The dataset in a NumPy archive: ``x_train``, ``y_train``, ``x_test``, ``y_test``, perhaps ``x_val``, ``y_val``.

    ``train_inputs``, ``train_targets``, ``train_images``, ``train_labels`` and so on will do as well. Images are
    [n, h, w], [n, h, w, c] or [n, c, h, w], vectors [n, f], uint8 or float; labels [n] or [n, 1] whole numbers.

    Raises:
        NotFoundError, DataError: there is no such file, or its data cannot be used.
    """
    options = options or ImportOptions()
    given = {
        name: as_split(inputs, targets, options.layout, f"'{name}' in {path}")
        for name, (inputs, targets) in read_npz(path).items()
    }
    return assemble(given, options, str(path))


def _checked(options: dict[str, Any]) -> ImportOptions:
    try:
        return ImportOptions.model_validate(options)
    except ValidationError as e:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in e.errors())
        raise InputError(f"options of the import: {faults} (known: {', '.join(ImportOptions.model_fields)})") from e
