"""A report as an artifact: a plain JSON mapping."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from modelpress.artifacts.digest import Digest, canonical_json
from modelpress.artifacts.manifest import get_manifest, put_artifact, read_layer
from modelpress.artifacts.store import Store
from modelpress.catalogue import Kind
from modelpress.errors import InputError

_ROLE = "report.json"


def put_report(store: Store, report: Mapping[str, Any]) -> Digest:
    """Write a report.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot carry.
    """
    return put_artifact(store, Kind.REPORT, {}, {_ROLE: canonical_json(dict(report))})


def get_report(store: Store, digest: Digest) -> dict[str, Any]:
    """Read a report.

    Raises:
        InputError: ``digest`` names another kind of artifact.
    """
    manifest = get_manifest(store, digest)
    if manifest.kind is not Kind.REPORT:
        raise InputError(f"{digest} is a {manifest.kind}, not a report")
    report: dict[str, Any] = json.loads(read_layer(store, manifest, _ROLE))
    return report
