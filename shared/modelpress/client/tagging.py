"""Names for what was pushed."""

from __future__ import annotations

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.store import Store


def tag(store: Store, name: str, digest: Digest) -> Digest | None:
    """Let ``name`` stand for ``digest``; return what it stood for before, None for nothing.

    Raises:
        InputError: ``name`` is no name for a tag.
    """
    while True:
        before = store.tags.get(name)
        if before == digest or store.tags.swap(name, before, digest):
            return before
