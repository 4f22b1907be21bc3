import pytest

from modelpress.artifacts.digest import Digest, digest_of
from modelpress.artifacts.manifest import get_manifest, put_artifact
from modelpress.artifacts.memory import MemoryStore
from modelpress.artifacts.refs import broken_blobs, list_artifacts, resolve
from modelpress.catalogue import Kind
from modelpress.errors import CorruptBlobError, InputError, NotFoundError


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def put(store: MemoryStore, name: str, kind: Kind = Kind.MODEL) -> Digest:
    digest = put_artifact(store, kind, {"name": name}, {"one": b"1" + name.encode(), "two": b"2" + name.encode()})
    assert store.tags.swap(name, None, digest)
    return digest


def test_a_tag_a_digest_and_its_beginning_stand_for_the_same(store: MemoryStore) -> None:
    digest = put(store, "fashion/resnet")
    put(store, "other")
    for ref in ("fashion/resnet", digest, digest[: len("sha256:") + 12], digest[:-1]):
        assert resolve(store, ref) == digest


def test_an_unknown_tag_gets_the_nearest(store: MemoryStore) -> None:
    put(store, "fashion/resnet")
    with pytest.raises(NotFoundError, match=r"no artifact 'fashion/resent': did you mean 'fashion/resnet'\?"):
        resolve(store, "fashion/resent")


@pytest.mark.parametrize("length", [12, 64])
def test_an_absent_digest_is_named(store: MemoryStore, length: int) -> None:
    ref = digest_of(b"absent")[: len("sha256:") + length]
    with pytest.raises(NotFoundError, match=ref):
        resolve(store, ref)


def test_an_ambiguous_beginning_names_what_it_could_be(store: MemoryStore) -> None:
    twins = [Digest("sha256:" + "a" * 20 + end * 44) for end in "bc"]
    store.blobs.data.update(dict.fromkeys(twins, b""))
    with pytest.raises(NotFoundError, match=f"ambiguous.*{twins[0]}, {twins[1]}"):
        resolve(store, twins[0][:20])


@pytest.mark.parametrize("ref", ["", "sha256:abc", "sha256:" + "g" * 64, "../x", "a b"])
def test_what_can_be_no_reference_is_refused(store: MemoryStore, ref: str) -> None:
    with pytest.raises(InputError):
        resolve(store, ref)


def test_artifacts_are_listed_by_name_with_their_manifests(store: MemoryStore) -> None:
    model, data = put(store, "b"), put(store, "a", Kind.DATASET)
    listed = list_artifacts(store)
    assert [(x.name, x.digest) for x in listed] == [("a", data), ("b", model)]
    assert [x.manifest.kind for x in listed] == [Kind.DATASET, Kind.MODEL]


def test_a_tag_whose_manifest_is_corrupt_is_not_left_out(store: MemoryStore) -> None:
    digest = put(store, "a")
    store.blobs.data[digest] = b"{}"
    with pytest.raises(CorruptBlobError, match=digest):
        list_artifacts(store)


def test_a_whole_artifact_has_no_broken_blobs(store: MemoryStore) -> None:
    assert broken_blobs(store, put(store, "a")) == ()


def test_missing_and_truncated_layers_are_told(store: MemoryStore) -> None:
    digest = put(store, "a")
    one, two = (Digest(layer.digest) for layer in get_manifest(store, digest).layers)
    store.blobs.data[two] = b"2"
    assert broken_blobs(store, digest) == (two,)
    store.blobs.discard(one)
    assert broken_blobs(store, digest) == (one, two)


@pytest.mark.parametrize("spoiled", [None, b"{", b"not whole"])
def test_a_manifest_that_cannot_be_read_is_told(store: MemoryStore, spoiled: bytes | None) -> None:
    digest = put(store, "a")
    if spoiled is None:
        store.blobs.discard(digest)
    else:
        store.blobs.data[digest] = spoiled
    assert broken_blobs(store, digest) == (digest,)


def test_a_blob_that_is_no_manifest_is_told(store: MemoryStore) -> None:
    digest = store.blobs.put([b"just bytes"])
    assert broken_blobs(store, digest) == (digest,)
