"""What leads to which blob: tags and step results name manifests, manifests name layers."""

from __future__ import annotations

import json
from collections.abc import Iterable

from modelpress.artifacts.digest import Digest, is_digest
from modelpress.artifacts.manifest import Manifest, get_manifest
from modelpress.artifacts.store import Store
from modelpress.errors import CorruptBlobError, NotFoundError, StoreError


def outputs_of(result: bytes) -> tuple[Digest, ...]:
    """Digests of the artifacts that a stored step result names: JSON with ``outputs``, digests by name.

    Raises:
        StoreError: it is no such thing.
    """
    try:
        digests = tuple(dict.fromkeys(json.loads(result)["outputs"].values()))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
        raise StoreError("a stored result is no JSON with outputs") from e
    if not all(isinstance(digest, str) and is_digest(digest) for digest in digests):
        raise StoreError("a stored result names an output by something that is no digest")
    return digests


def readable_outputs(result: bytes) -> tuple[Digest, ...] | None:
    """As `outputs_of`; None when that raises."""
    try:
        return outputs_of(result)
    except StoreError:
        return None


class Reach:
    """Manifests of a store, each read once.

    ``damaged`` collects the digests whose blobs are missing or corrupt: what they would have led to is unknown.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._manifests: dict[Digest, Manifest | None] = {}
        self.damaged: set[Digest] = set()

    def manifest(self, digest: Digest) -> Manifest | None:
        """The manifest with that digest; None when it is damaged, or the blob is none."""
        if digest not in self._manifests:
            self._manifests[digest] = self._read(digest)
        return self._manifests[digest]

    def blobs(self, artifacts: Iterable[Digest]) -> set[Digest]:
        """``artifacts`` and their layers."""
        found: set[Digest] = set()
        for digest in artifacts:
            manifest = self.manifest(digest)
            found.update((digest, *(manifest.blobs() if manifest else ())))
        return found

    def _read(self, digest: Digest) -> Manifest | None:
        try:
            return get_manifest(self._store, digest)
        except (NotFoundError, CorruptBlobError):
            self.damaged.add(digest)
        except StoreError:  # a blob, whole, that is no manifest leads nowhere
            pass
        return None


def tagged(store: Store) -> dict[str, Digest]:
    """What each tag points to."""
    pairs = ((name, store.tags.get(name)) for name in store.tags.names())
    return {name: digest for name, digest in pairs if digest is not None}


def stored_outputs(store: Store) -> dict[str, tuple[Digest, ...] | None]:
    """The outputs of each stored result, by key; None for one that cannot be read."""
    found: dict[str, tuple[Digest, ...] | None] = {}
    for key in store.results.keys():  # noqa: SIM118 (a port, not a mapping)
        value = store.results.get(key)
        if value is not None:
            found[key] = readable_outputs(value)
    return found
