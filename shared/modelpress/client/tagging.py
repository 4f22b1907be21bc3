"""Names for what was pushed."""

from __future__ import annotations

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.refs import broken_blobs
from modelpress.artifacts.store import Store
from modelpress.errors import NotFoundError


def tag(store: Store, name: str, digest: Digest) -> Digest | None:
    """Let ``name`` stand for ``digest``; return what it stood for before, None for nothing.

    Raises:
        InputError: ``name`` is no name for a tag.
        NotFoundError: not all of the artifact is in the store.
    """
    broken = broken_blobs(store, digest)  # which also keeps garbage collection from it until the tag is there
    if broken:
        raise NotFoundError(f"'{name}' cannot stand for {digest}: {broken[0]}, a part of it, is not in the store")
    while True:
        before = store.tags.get(name)
        if before == digest or store.tags.swap(name, before, digest):
            return before
