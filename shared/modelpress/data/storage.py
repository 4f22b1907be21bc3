"""Datasets in the artifact store: a layer of safetensors for each split, the description as configuration."""

from __future__ import annotations

import safetensors.torch
from pydantic import ValidationError
from safetensors import SafetensorError

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.manifest import Manifest, get_manifest, put_artifact, read_layer
from modelpress.artifacts.store import Store
from modelpress.catalogue import Kind
from modelpress.data.checks import check
from modelpress.data.dataset import SPLITS, DataDescription, Dataset, Split, SplitName
from modelpress.errors import DataError, InputError


def put_dataset(store: Store, dataset: Dataset) -> Digest:
    """Write ``dataset``, checked; equal datasets have equal digests.

    Raises:
        DataError: it cannot be used; nothing was written.
    """
    check(dataset)
    names = [name for name in SPLITS if name in dataset.splits]
    config = {"description": dataset.description.model_dump(mode="json")}
    return put_artifact(store, Kind.DATASET, config, {_role(name): _packed(dataset.splits[name]) for name in names})


def get_dataset(store: Store, digest: Digest) -> Dataset:
    """Read a dataset, verified and checked.

    Raises:
        InputError: ``digest`` names another kind of artifact.
        DataError: the artifact was not made by `put_dataset`.
    """
    manifest = get_manifest(store, digest)
    if manifest.kind is not Kind.DATASET:
        raise InputError(f"{digest} is a {manifest.kind}, not a dataset")
    roles = {layer.role for layer in manifest.layers}
    try:
        description = DataDescription.model_validate(manifest.config.get("description"))
        splits = {name: _unpacked(store, manifest, name) for name in SPLITS if _role(name) in roles}
    except (ValidationError, SafetensorError, KeyError) as e:
        raise DataError(f"{digest} is no dataset of ours: {e}") from e
    dataset = Dataset(description, splits)
    check(dataset)
    return dataset


def _role(name: SplitName) -> str:
    return f"{name}.safetensors"


def _packed(split: Split) -> bytes:
    tensors = {"inputs": split.inputs.contiguous(), "targets": split.targets.contiguous()}
    return bytes(safetensors.torch.save(tensors))


def _unpacked(store: Store, manifest: Manifest, name: SplitName) -> Split:
    tensors = safetensors.torch.load(read_layer(store, manifest, _role(name)))
    return Split(tensors["inputs"], tensors["targets"])
