"""Artifacts, results and their ages for the tests of this folder."""

import json
from collections.abc import Callable
from pathlib import Path

from modelpress.artifacts.digest import Digest, digest_of
from modelpress.artifacts.filesystem import FilesystemStore
from modelpress.artifacts.manifest import put_artifact
from modelpress.artifacts.memory import MemoryStore
from modelpress.artifacts.store import Store
from modelpress.catalogue import Kind

KEY = "ab" * 32
HOUR_S = 3600.0
SHARED = b"shared by all"

WRITES: dict[str, Callable[[FilesystemStore], object]] = {
    "blob": lambda store: store.blobs.put([b"x" * 1000]),
    "result": lambda store: store.results.create(KEY, b"x" * 1000),
    "tag": lambda store: store.tags.swap("name", None, digest_of(b"x")),
    "slot": lambda store: store.slots.save(KEY, b"x" * 1000),
}


def artifact(store: Store, name: str, kind: Kind = Kind.MODEL) -> Digest:
    """Three blobs, one of which every artifact has."""
    return put_artifact(store, kind, {"name": name}, {"own": f"layer of {name}".encode(), "shared": SHARED})


def blob_path(root: Path, digest: Digest) -> Path:
    """Where the store of the default tenant at ``root`` keeps a blob."""
    return root / "default" / "blobs" / "sha256" / digest.removeprefix("sha256:")


def key_of(name: str) -> str:
    return name.encode().hex().ljust(64, "0")


def result(store: Store, name: str, *outputs: Digest) -> str:
    """The result of a step with these outputs; its key."""
    key = key_of(name)
    store.results.create(key, json.dumps({"outputs": {str(n): d for n, d in enumerate(outputs)}}).encode())
    return key


def grow_old(store: MemoryStore, by_s: float = 2 * HOUR_S) -> None:
    for ages in (store.blobs.ages, store.slots.ages):
        for name in ages.since_s:
            ages.since_s[name] -= by_s
