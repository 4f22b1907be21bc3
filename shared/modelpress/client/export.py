"""Artifacts as files: what ``pull`` and ``Ref.save`` write."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.manifest import Manifest, open_layer, read_layer
from modelpress.artifacts.store import Store
from modelpress.catalogue import Kind
from modelpress.errors import InputError, nearest

FOLDER = "modelpress"
MANIFEST = "manifest.json"


def formats_of(manifest: Manifest) -> tuple[str, ...]:
    """The formats that an artifact can be written in, its default first."""
    if manifest.kind is Kind.PACKAGE:
        return (str(manifest.config["format"]), FOLDER)
    return (FOLDER, "onnx") if manifest.kind is Kind.MODEL else (FOLDER,)


def save(store: Store, digest: Digest, manifest: Manifest, path: Path, format: str) -> Path:
    """Write an artifact: ``modelpress`` makes a folder of its layers and manifest, other formats one file.

    A file is written whole or not at all. A folder must be new or empty, or hold this very artifact.

    Raises:
        InputError: there is no such format for it, or ``path`` cannot be written.
    """
    if format not in formats_of(manifest):
        hint = nearest(format, formats_of(manifest))
        raise InputError(f"a {manifest.kind} cannot be written as '{format}': {hint}")
    if format == FOLDER:
        return _save_folder(store, manifest, path)
    return save_file(_file_bytes(store, digest, manifest), path)


def _save_folder(store: Store, manifest: Manifest, path: Path) -> Path:
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file; this format is a folder, so name one that is new")
    names = {layer.role for layer in manifest.layers} | {MANIFEST}
    strangers = sorted({p.name for p in path.iterdir()} - names) if path.is_dir() else []
    if strangers:
        raise InputError(f"{path} holds other files ({strangers[0]}); name a folder that is new or empty")
    described = json.dumps(manifest.model_dump(mode="json"), indent=2, sort_keys=True).encode()
    old = path / MANIFEST
    if old.exists() and old.read_bytes() != described:
        raise InputError(f"{path} holds another artifact; name a folder that is new or empty")
    for layer in manifest.layers:
        with written_whole(path / layer.role) as file:
            file.writelines(open_layer(store, manifest, layer.role))
    save_file(described, path / MANIFEST)
    return path


def _file_bytes(store: Store, digest: Digest, manifest: Manifest) -> bytes:
    if manifest.kind is Kind.PACKAGE:
        return read_layer(store, manifest, f"package.{manifest.config['format']}")
    from modelpress.graph.packages.onnx import to_onnx
    from modelpress.graph.storage import get_model

    return to_onnx(get_model(store, digest))


def save_file(data: bytes, path: Path) -> Path:
    """Write ``data`` whole or not at all; folders on the way are made.

    Raises:
        InputError: ``path`` cannot be written.
    """
    with written_whole(path) as file:
        file.write(data)
    return path


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """A file that becomes ``path``, in place of what was there, once all went well; folders on the way are made.

    Raises:
        InputError: ``path`` cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}."[:64])
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as e:
        raise InputError(f"cannot write {path}: {e.strerror or e}") from e
