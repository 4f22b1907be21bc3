"""What runs put out, as artifacts with a name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.manifest import get_manifest
from modelpress.artifacts.refs import TaggedArtifact
from modelpress.artifacts.store import Store
from modelpress.catalogue import Kind
from modelpress.engine.state import RunState


def run_outputs(store: Store, runs: Iterable[RunState]) -> Iterator[TaggedArtifact]:
    """Models and packages that are outputs of ``runs`` and still in ``store``, as ``RUN.OUTPUT``."""
    for state in runs:
        for name, digest in state.outputs.items():
            if store.blobs.size(Digest(digest)) is None:
                continue
            manifest = get_manifest(store, Digest(digest))
            if manifest.kind in (Kind.MODEL, Kind.PACKAGE):
                yield TaggedArtifact(f"{state.run_id}.{name}", Digest(digest), manifest)
