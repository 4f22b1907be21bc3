"""Artifacts as files and folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.manifest import get_manifest, put_artifact
from modelpress.artifacts.memory import MemoryStore
from modelpress.artifacts.package import Package, put_package
from modelpress.catalogue import Form, Kind
from modelpress.client.export import save_file
from modelpress.client.refs import DataRef, PackageRef, expect, ref_of
from modelpress.client.tagging import tag
from modelpress.errors import InputError, NotFoundError


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def package(store: MemoryStore) -> PackageRef:
    ref = ref_of(store, put_package(store, Package("onnx", Form.DENSE, b"the file")))
    assert isinstance(ref, PackageRef)
    return ref


def test_a_package_is_its_file(store: MemoryStore, tmp_path: Path) -> None:
    path = package(store).save(tmp_path / "deep" / "model.onnx")
    assert path.read_bytes() == b"the file"
    assert [p.name for p in path.parent.iterdir()] == ["model.onnx"], "nothing temporary stays"
    assert package(store).load().data == b"the file"


def test_a_folder_holds_layers_and_manifest(store: MemoryStore, tmp_path: Path) -> None:
    ref = package(store)
    folder = ref.save(tmp_path / "folder", "modelpress")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {p.name for p in folder.iterdir()} == {"manifest.json", "package.onnx"}
    assert manifest == get_manifest(store, ref.digest).model_dump(mode="json")
    assert ref.save(folder, "modelpress") == folder, "the same artifact again is fine"


def test_a_folder_of_something_else_is_left_alone(store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("dear reader")
    with pytest.raises(InputError, match=r"thesis\.tex"):
        package(store).save(tmp_path, "modelpress")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_unknown_format_names_the_known(store: MemoryStore, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'onnx'"):
        package(store).save(tmp_path / "x", "onxx")
    assert not (tmp_path / "x").exists()


def test_a_path_that_cannot_be_written_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        save_file(b"", tmp_path / "file" / "below")


def test_refs_know_their_kind(store: MemoryStore) -> None:
    data = ref_of(store, put_artifact(store, Kind.DATASET, {}, {}), "d")
    assert isinstance(data, DataRef)
    assert expect(data, Kind.DATASET) is data
    with pytest.raises(InputError, match="'d' is a dataset, not a model"):
        expect(data, Kind.MODEL)


def test_a_ref_to_nothing(store: MemoryStore) -> None:
    with pytest.raises(NotFoundError):
        ref_of(store, Digest("sha256:" + "0" * 64))


def test_a_tag_is_given_to_what_is_whole(store: MemoryStore) -> None:
    ref = package(store)
    layer = ref.manifest().blobs()[0]
    store.blobs.discard(layer)
    with pytest.raises(NotFoundError, match=f"'name' cannot stand for {ref.digest}: {layer}"):
        tag(store, "name", ref.digest)
    assert list(store.tags.names()) == []


def test_tags_move(store: MemoryStore) -> None:
    first, second = (put_artifact(store, Kind.REPORT, {"n": n}, {}) for n in (1, 2))
    assert tag(store, "name", first) is None
    assert tag(store, "name", second) == first
    assert tag(store, "name", second) == second
    assert store.tags.get("name") == second
