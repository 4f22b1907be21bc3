from pathlib import Path

import pytest
import torch

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.filesystem import FilesystemStore
from modelpress.artifacts.manifest import get_manifest, put_artifact
from modelpress.artifacts.memory import MemoryStore
from modelpress.catalogue import Kind
from modelpress.data.dataset import Augmentations, Dataset, Split
from modelpress.data.storage import get_dataset, put_dataset
from modelpress.errors import CorruptBlobError, DataError, InputError
from tests.unit.data.sources import tiny


def test_a_dataset_comes_back_as_it_was(tmp_path: Path) -> None:
    dataset = tiny(augmentations=Augmentations(crop_padding=2))
    store = FilesystemStore(tmp_path)
    back = get_dataset(store, put_dataset(store, dataset))
    assert back.description == dataset.description
    assert list(back.splits) == list(dataset.splits)
    for name, split in dataset.splits.items():
        assert torch.equal(back.splits[name].inputs, split.inputs)
        assert back.splits[name].inputs.dtype == torch.uint8
        assert torch.equal(back.splits[name].targets, split.targets)


def test_equal_datasets_have_equal_digests_whatever_their_order_and_strides() -> None:
    dataset = tiny()
    train = dataset.splits["train"]
    strided = Split(train.inputs.repeat_interleave(2, 0)[::2], train.targets)
    shuffled = Dataset(dataset.description, {"test": dataset.splits["test"], "train": strided})
    assert put_dataset(MemoryStore(), dataset) == put_dataset(MemoryStore(), shuffled)


def test_another_description_is_another_dataset() -> None:
    store = MemoryStore()
    assert put_dataset(store, tiny()) != put_dataset(store, tiny(augmentations=Augmentations(crop_padding=1)))


def test_one_layer_holds_one_split() -> None:
    store = MemoryStore()
    manifest = get_manifest(store, put_dataset(store, tiny()))
    assert manifest.kind is Kind.DATASET
    assert [layer.role for layer in manifest.layers] == ["train.safetensors", "test.safetensors"]


def test_a_dataset_that_cannot_be_used_is_not_written() -> None:
    store, dataset = MemoryStore(), tiny()
    bad = Split(dataset.splits["train"].inputs, dataset.splits["train"].targets + 1)
    with pytest.raises(DataError, match="there are 3 classes"):
        put_dataset(store, Dataset(dataset.description, {"train": bad}))
    assert list(store.blobs.matching("sha256:")) == []


def test_another_kind_of_artifact_is_refused() -> None:
    store = MemoryStore()
    digest = put_artifact(store, Kind.MODEL, {}, {})
    with pytest.raises(InputError, match=f"{digest} is a model, not a dataset"):
        get_dataset(store, digest)


@pytest.mark.parametrize(
    ("config", "layer"),
    [
        ({}, b""),
        ({"description": tiny().description.model_dump(mode="json")}, b"no safetensors"),
        ({"description": tiny().description.model_dump(mode="json")}, b"\x02\0\0\0\0\0\0\0{}"),
        ({"description": {"input": {"shape": "wide"}, "class_names": []}}, b"\x02\0\0\0\0\0\0\0{}"),
    ],
)
def test_a_foreign_dataset_is_refused(config: dict[str, object], layer: bytes) -> None:
    store = MemoryStore()
    digest = put_artifact(store, Kind.DATASET, config, {"train.safetensors": layer})
    with pytest.raises(DataError, match="is no dataset of ours"):
        get_dataset(store, digest)


def test_a_corrupt_layer_is_named() -> None:
    store = MemoryStore()
    digest = put_dataset(store, tiny())
    layer = Digest(get_manifest(store, digest).layer("train.safetensors").digest)
    store.blobs.data[layer] = store.blobs.data[layer][:-1] + b"\xff"
    with pytest.raises(CorruptBlobError, match=layer):
        get_dataset(store, digest)
