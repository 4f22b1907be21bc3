"""Manifests: a small JSON that names an artifact's blobs, laid out like an OCI image manifest.

Equal artifacts have equal manifests: no time, path, host or random id enters one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from modelpress.artifacts.digest import Digest, canonical_json
from modelpress.artifacts.store import Store
from modelpress.catalogue import Kind
from modelpress.errors import StoreError

MEDIA_TYPE = "application/vnd.modelpress.manifest.v1+json"


class Layer(BaseModel):
    """One blob of an artifact, by role (``graph.json``, ``tensors-00000.safetensors``, ...)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: str = Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0)
    media_type: str = "application/octet-stream"


class Manifest(BaseModel):
    """An artifact: its kind, a configuration (JSON), and its layers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    media_type: str = MEDIA_TYPE
    kind: Kind
    config: dict[str, Any] = Field(default_factory=dict)
    layers: tuple[Layer, ...] = ()

    def layer(self, role: str) -> Layer:
        """The layer called ``role``.

        Raises:
            StoreError: the manifest has none.
        """
        for layer in self.layers:
            if layer.role == role:
                return layer
        raise StoreError(f"manifest of a {self.kind} has no layer '{role}': {[x.role for x in self.layers]}")

    def blobs(self) -> tuple[Digest, ...]:
        """Digests of the layers, each once, in the layers' order."""
        return tuple(dict.fromkeys(Digest(layer.digest) for layer in self.layers))

    def to_bytes(self) -> bytes:
        return canonical_json(self.model_dump(mode="json"))


def put_artifact(
    store: Store, kind: Kind, config: Mapping[str, Any], layers: Mapping[str, bytes | Iterable[bytes]]
) -> Digest:
    """Write ``layers`` (by role) and then the manifest that names them; return the manifest's digest.

    A layer that is no ``bytes`` is read chunk by chunk: use it for what may be large.

    Raises:
        StoreFullError: no space is left.
        StoreError: a layer was removed before the manifest named it.
    """
    written = tuple(_put_layer(store, role, data) for role, data in layers.items())
    manifest = Manifest(kind=kind, config=dict(config), layers=written)
    digest = store.blobs.put([manifest.to_bytes()])
    # However long the layers took, from here on garbage collection leaves all of them for its grace.
    gone = [layer.role for layer in written if store.upkeep.refresh(Digest(layer.digest)) is None]
    if gone:
        raise StoreError(f"layer '{gone[0]}' of a {kind} was removed while the others were written: write it again")
    return digest


def get_manifest(store: Store, digest: Digest) -> Manifest:
    """Read and check a manifest.

    Raises:
        NotFoundError, CorruptBlobError: as `Blobs.read`.
        StoreError: the blob is no manifest.
    """
    return parse_manifest(store.blobs.read(digest), digest)


def parse_manifest(data: bytes, digest: Digest) -> Manifest:
    """The manifest that the blob ``digest`` holds.

    Raises:
        StoreError: it is no manifest.
    """
    try:
        return Manifest.model_validate(json.loads(data))
    except (ValueError, RecursionError) as e:
        raise StoreError(f"blob {digest} is no manifest") from e


def read_layer(store: Store, manifest: Manifest, role: str) -> bytes:
    """The verified bytes of one layer."""
    return store.blobs.read(Digest(manifest.layer(role).digest))


def open_layer(store: Store, manifest: Manifest, role: str) -> Iterator[bytes]:
    """The bytes of one layer in chunks, verified as `Blobs.open` does."""
    return store.blobs.open(Digest(manifest.layer(role).digest))


def _put_layer(store: Store, role: str, data: bytes | Iterable[bytes]) -> Layer:
    size_bytes = 0

    def counted() -> Iterator[bytes]:
        nonlocal size_bytes
        for chunk in [data] if isinstance(data, bytes) else data:
            size_bytes += len(chunk)
            yield chunk

    digest = store.blobs.put(counted())
    return Layer(role=role, digest=digest, size_bytes=size_bytes)
