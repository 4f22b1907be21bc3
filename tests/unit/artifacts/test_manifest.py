from collections.abc import Iterator

import pytest

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.manifest import get_manifest, open_layer, put_artifact, read_layer
from modelpress.artifacts.memory import MemoryStore
from modelpress.artifacts.streams import CHUNK_BYTES
from modelpress.catalogue import Kind
from modelpress.errors import NotFoundError, StoreError


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_a_layer_that_comes_in_chunks_is_the_same_layer(store: MemoryStore) -> None:
    data = b"abc" * CHUNK_BYTES
    chunked = put_artifact(
        store, Kind.DATASET, {}, {"all": (data[at : at + 10_000] for at in range(0, len(data), 10_000))}
    )
    assert chunked == put_artifact(store, Kind.DATASET, {}, {"all": data})
    manifest = get_manifest(store, chunked)
    assert manifest.layer("all").size_bytes == len(data)
    assert b"".join(open_layer(store, manifest, "all")) == read_layer(store, manifest, "all") == data


def test_a_manifest_names_each_blob_once(store: MemoryStore) -> None:
    manifest = get_manifest(store, put_artifact(store, Kind.MODEL, {}, {"a": b"same", "b": b"other", "c": b"same"}))
    assert manifest.blobs() == (Digest(manifest.layer("a").digest), Digest(manifest.layer("b").digest))


def test_a_layer_that_is_removed_while_others_are_written_is_told(store: MemoryStore) -> None:
    def slow() -> Iterator[bytes]:
        for digest in list(store.blobs.data):
            store.blobs.discard(digest)
        yield b"slow"

    with pytest.raises(StoreError, match="layer 'first' of a model was removed while the others were written"):
        put_artifact(store, Kind.MODEL, {}, {"first": b"quick", "second": slow()})


def test_a_sender_that_goes_away_leaves_no_manifest(store: MemoryStore) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionError("the sender went away")

    with pytest.raises(ConnectionError):
        put_artifact(store, Kind.MODEL, {}, {"first": b"whole", "second": chunks()})
    assert list(store.blobs.data.values()) == [b"whole"]


def test_an_absent_layer_is_told_when_it_is_read(store: MemoryStore) -> None:
    manifest = get_manifest(store, put_artifact(store, Kind.MODEL, {}, {"a": b"data"}))
    store.blobs.discard(manifest.blobs()[0])
    with pytest.raises(NotFoundError):
        list(open_layer(store, manifest, "a"))
    with pytest.raises(StoreError, match="has no layer 'b'"):
        open_layer(store, manifest, "b")
