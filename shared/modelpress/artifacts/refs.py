"""References as a user writes them, and what they stand for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from modelpress.artifacts.digest import Digest, is_digest
from modelpress.artifacts.manifest import Manifest, get_manifest
from modelpress.artifacts.names import check_tag
from modelpress.artifacts.store import Store
from modelpress.errors import NotFoundError, StoreError, nearest

_PREFIX = re.compile(r"sha256:[0-9a-f]{12,63}")


@dataclass(frozen=True)
class TaggedArtifact:
    """An artifact that has a name."""

    name: str
    digest: Digest
    manifest: Manifest


def resolve(store: Store, ref: str) -> Digest:
    """The digest that ``ref`` stands for: a tag, a digest, or ``sha256:`` and the first 12 or more hex characters.

    Raises:
        NotFoundError: nothing has that name or digest, or several digests begin so.
        InputError: it can be no reference.
    """
    if is_digest(ref):
        return _existing(store, Digest(ref))
    if _PREFIX.fullmatch(ref):
        return _completed(store, ref)
    digest = store.tags.get(check_tag(ref))
    if digest is None:
        raise NotFoundError(f"there is no artifact '{ref}': {nearest(ref, store.tags.names())}")
    return digest


def list_artifacts(store: Store) -> tuple[TaggedArtifact, ...]:
    """Every tagged artifact, by name.

    Raises:
        NotFoundError, CorruptBlobError: a tag points to a manifest that is gone or corrupt.
    """
    found = []
    for name in store.tags.names():
        digest = store.tags.get(name)
        if digest is not None:
            found.append(TaggedArtifact(name, digest, get_manifest(store, digest)))
    return tuple(found)


def broken_blobs(store: Store, digest: Digest) -> tuple[Digest, ...]:
    """What of an artifact is missing or wrong: its manifest, or the layers whose blobs are absent or of another size.

    Cheap enough for every cache hit: only the manifest is read. Layers are verified by their digest when they are read.
    All that is there is refreshed: of an artifact that was found whole, garbage collection takes nothing before its
    grace is over.

    Raises:
        StoreError: the store cannot be written.
    """
    try:
        manifest = get_manifest(store, digest)
    except (NotFoundError, StoreError):
        return (digest,)
    refresh = store.upkeep.refresh
    if refresh(digest) is None:
        return (digest,)
    broken = (Digest(x.digest) for x in manifest.layers if refresh(Digest(x.digest)) != x.size_bytes)
    return tuple(dict.fromkeys(broken))


def _existing(store: Store, digest: Digest) -> Digest:
    if store.blobs.size(digest) is None:
        raise NotFoundError(f"there is no artifact {digest}")
    return digest


def _completed(store: Store, prefix: str) -> Digest:
    digests = list(store.blobs.matching(prefix))
    if not digests:
        raise NotFoundError(f"there is no artifact whose digest begins with {prefix}")
    if len(digests) > 1:
        raise NotFoundError(f"{prefix} is ambiguous, give more of it: {', '.join(digests)}")
    return digests[0]
