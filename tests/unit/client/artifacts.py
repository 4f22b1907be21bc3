"""Artifacts in a store, their manifests written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from safetensors.numpy import save

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.manifest import put_artifact
from modelpress.artifacts.package import Package, put_package
from modelpress.artifacts.store import Store
from modelpress.catalogue import Form, Kind

INPUTS = [{"name": "x", "dtype": "float32", "shape": ["batch", 1, 28, 28]}]


def row(path: str, shape: tuple[int, ...], bits: int = 32, macs: int = 1000, type: str = "Linear") -> dict[str, Any]:
    """A layer as a model's manifest lists it."""
    facts = {"path": path, "type": type, "shape": list(shape), "bits": bits}
    return facts | {"parameters": int(np.prod(shape)), "macs": macs, "activation_bytes": 4 * shape[0]}


DENSE = (row("first", (8, 4)), row("second", (6, 8), macs=480), row("last", (2, 6)))
SLIM = (row("first", (4, 4), macs=500), row("last", (2, 6)), row("new", (3, 3)))


def put_model(
    store: Store,
    rows: tuple[dict[str, Any], ...],
    form: Form = Form.DENSE,
    tensors: Mapping[str, np.ndarray[Any, Any]] | None = None,
) -> Digest:
    config = {
        "form": str(form),
        "facts": {"bits": 8},
        "notes": ["stochastic depth is lost"],
        "inputs": INPUTS,
        "parameters": sum(r["parameters"] for r in rows),
        "layers": list(rows),
    }
    files = {"graph.json": b"{}", "tensors.safetensors": save(dict(tensors or {"first.weight": np.zeros(2)}))}
    return put_artifact(store, Kind.MODEL, config, files)


def put_onnx(store: Store, form: Form = Form.QUANTIZED, parameters: int = 92, macs: int = 2480) -> Digest:
    facts = {"precision": "int8", "opset": 20, "inputs": INPUTS, "parameters": parameters, "macs": macs}
    return put_package(store, Package("onnx", form, onnx_bytes(), facts))


def onnx_bytes() -> bytes:
    """A file of two Relu and one Neg."""
    nodes = [helper.make_node(op, [a], [b]) for op, a, b in (("Relu", "x", "y"), ("Neg", "y", "z"), ("Relu", "z", "w"))]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xw"]
    model: bytes = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:])).SerializeToString()
    onnx.checker.check_model(model)
    return model
