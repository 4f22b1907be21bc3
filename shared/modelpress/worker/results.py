"""Accepted step results: ``results/<key>`` and what they promise."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.manifest import get_manifest
from modelpress.artifacts.refs import broken_blobs
from modelpress.artifacts.store import Store
from modelpress.errors import CorruptBlobError, NotFoundError, StoreError


class StepResult(BaseModel):
    """What a step came to: digests of its outputs, and its metrics."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    outputs: dict[str, Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]]
    metrics: dict[str, float] = Field(default_factory=dict)

    def to_bytes(self) -> bytes:
        return self.model_dump_json().encode()


def accept(store: Store, key: str, result: StepResult) -> StepResult:
    """Create ``results/<key>``; the accepted result, which is another's where that came first and is whole."""
    offered = result.to_bytes()
    accepted: StepResult | None = None
    while accepted is None:
        accepted = result if store.results.create(key, offered) == offered else find(store, key)[0]
    store.slots.discard(key)
    return accepted


def find(store: Store, key: str) -> tuple[StepResult | None, tuple[str, ...]]:
    """The result of ``key`` when all that it promises is there; else None, and what of it is broken.

    A broken result is discarded together with its broken blobs, so that the step can be made again.
    """
    data = store.results.get(key)
    if data is None:
        return None, ()
    try:
        result = StepResult.model_validate_json(data)
    except ValidationError:
        store.results.discard(key)
        return None, (f"results/{key}",)
    broken = tuple(blob for digest in result.outputs.values() for blob in broken_blobs(store, Digest(digest)))
    if not broken:
        return result, ()
    discard(store, key, broken)
    return None, broken


def discard(store: Store, key: str, broken: tuple[Digest, ...]) -> None:
    """Forget a result and its broken blobs; the blobs go first, since the result is what leads to them."""
    for blob in broken:
        store.blobs.discard(blob)
    store.results.discard(key)


def corrupt_blobs(store: Store, digest: Digest) -> tuple[Digest, ...]:
    """What of an artifact cannot be read: every blob is read and verified, so this is for when a step met one."""
    try:
        manifest = get_manifest(store, digest)
    except (NotFoundError, StoreError):
        return (digest,)
    return tuple(Digest(layer.digest) for layer in manifest.layers if not _readable(store, Digest(layer.digest)))


def _readable(store: Store, digest: Digest) -> bool:
    try:
        for _ in store.blobs.open(digest):
            pass
    except (NotFoundError, CorruptBlobError):
        return False
    return True
