"""Models in an artifact store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.manifest import get_manifest, put_artifact, read_layer
from modelpress.artifacts.store import Store
from modelpress.catalogue import Kind
from modelpress.errors import InputError
from modelpress.graph.costs import LayerCost, costs, totals
from modelpress.graph.model import Model
from modelpress.graph.serialise import load, save

GRAPH = "graph.json"
TENSORS = "tensors.safetensors"


def put_model(store: Store, model: Model) -> Digest:
    """Write ``model``; its manifest tells form, facts, inputs and layers to readers that have no torch."""
    files = save(model)
    rows = costs(model)
    config = {
        "form": str(model.form),
        "facts": model.facts,
        "notes": list(model.notes),
        "inputs": [{"name": s.name, "dtype": s.dtype, "shape": list(s.shape)} for s in model.inputs],
        "parameters": totals(rows).parameters,
        "layers": layer_table(rows),
    }
    return put_artifact(store, Kind.MODEL, config, {GRAPH: files.graph_json, TENSORS: files.tensors})


def get_model(store: Store, digest: Digest) -> Model:
    """Read a model.

    Raises:
        InputError: ``digest`` names another kind of artifact.
        ModelFormatError, NotFoundError, CorruptBlobError: as their sources.
    """
    manifest = get_manifest(store, digest)
    if manifest.kind is not Kind.MODEL:
        raise InputError(f"{digest} is a {manifest.kind}, not a model")
    return load(read_layer(store, manifest, GRAPH), read_layer(store, manifest, TENSORS))


def layer_table(rows: Iterable[LayerCost]) -> list[dict[str, Any]]:
    """One JSON entry a row that has parameters, of what `LayerCost` tells about it."""
    return [
        {
            "path": row.path,
            "type": row.type,
            "shape": list(row.shape),
            "bits": row.bits,
            "parameters": row.parameters,
            "macs": row.macs,
            "activation_bytes": row.activation_bytes,
        }
        for row in rows
        if row.parameters
    ]
