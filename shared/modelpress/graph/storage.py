"""Models in an artifact store."""

from __future__ import annotations

from typing import Any

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.manifest import get_manifest, put_artifact, read_layer
from modelpress.artifacts.store import Store
from modelpress.catalogue import Kind
from modelpress.constraints.dequantize import dequantize_of
from modelpress.constraints.fake_quantize import FakeQuantize
from modelpress.errors import InputError
from modelpress.graph.leaves import leaf_type
from modelpress.graph.model import Model
from modelpress.graph.serialise import load, save

GRAPH = "graph.json"
TENSORS = "tensors.safetensors"


def put_model(store: Store, model: Model) -> Digest:
    """Write ``model``; its manifest tells form, facts, inputs and layers to readers that have no torch."""
    files = save(model)
    config = {
        "form": str(model.form),
        "facts": model.facts,
        "notes": list(model.notes),
        "inputs": [{"name": s.name, "dtype": s.dtype, "shape": list(s.shape)} for s in model.inputs],
        "parameters": sum(entry["parameters"] for entry in layer_table(model)),
        "layers": layer_table(model),
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


def layer_table(model: Model) -> list[dict[str, Any]]:
    """One row a leaf with weights: ``path``, ``type``, ``shape`` of its weight, ``bits``, ``parameters``."""
    rows = []
    for path, leaf in model.leaves():
        weight = getattr(leaf, "weight", None)
        if weight is None or isinstance(leaf, FakeQuantize):
            continue
        integers = dequantize_of(leaf, "weight")
        stored = weight if integers is None else integers[0]
        bias = getattr(leaf, "bias", None)
        count = weight.numel() + (0 if bias is None else bias.numel())
        bits = stored.element_size() * 8
        rows.append(
            {"path": path, "type": leaf_type(leaf), "shape": list(weight.shape), "bits": bits, "parameters": count}
        )
    return rows
