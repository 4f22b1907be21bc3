"""Manifests: a small JSON that names an artifact's blobs, laid out like an OCI image manifest.

Equal artifacts have equal manifests: no time, path, host or random id enters one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

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

    def to_bytes(self) -> bytes:
        return canonical_json(self.model_dump(mode="json"))


def put_artifact(store: Store, kind: Kind, config: Mapping[str, Any], layers: Mapping[str, bytes]) -> Digest:
    """Write ``layers`` (by role) and then the manifest that names them; return the manifest's digest."""
    written = []
    for role, data in layers.items():
        digest = store.blobs.put([data])
        written.append(Layer(role=role, digest=digest, size_bytes=len(data)))
    manifest = Manifest(kind=kind, config=dict(config), layers=tuple(written))
    return store.blobs.put([manifest.to_bytes()])


def get_manifest(store: Store, digest: Digest) -> Manifest:
    """Read and check a manifest.

    Raises:
        NotFoundError, CorruptBlobError: as `Blobs.read`.
        StoreError: the blob is no manifest.
    """
    data = store.blobs.read(digest)
    try:
        return Manifest.model_validate(json.loads(data))
    except (ValueError, ValidationError) as e:
        raise StoreError(f"blob {digest} is no manifest") from e


def read_layer(store: Store, manifest: Manifest, role: str) -> bytes:
    """The verified bytes of one layer."""
    return store.blobs.read(Digest(manifest.layer(role).digest))
