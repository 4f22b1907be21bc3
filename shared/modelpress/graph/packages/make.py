"""From a model to its package, facts included: one way for compressed models and for the references beside them."""

from __future__ import annotations

from typing import Any

from modelpress.artifacts.package import Package
from modelpress.catalogue import Form
from modelpress.errors import InputError
from modelpress.graph.costs import costs, totals
from modelpress.graph.model import Model
from modelpress.graph.packages.onnx import OPSET, to_onnx


def make_package(model: Model, format: str = "onnx") -> Package:
    """The model's file and what is known of it: precision, parameters, multiply-accumulates a sample, inputs.

    Raises:
        InputError: another format than ``onnx``.
        ExportError: as `to_onnx`.
    """
    if format != "onnx":
        raise InputError(f"there is no package format '{format}'; there is 'onnx'")
    return Package(format, model.form, to_onnx(model), package_facts(model))


def package_facts(model: Model) -> dict[str, Any]:
    """JSON; ``shape`` has a symbol where a dimension is dynamic, and ``sizes`` an example's size of each."""
    rows = costs(model)
    total = totals(rows)
    return {
        "precision": "int8" if model.form is Form.QUANTIZED else "fp32",
        "opset": OPSET,
        "sizes": dict(model.sizes),
        "inputs": [{"name": s.name, "dtype": s.dtype, "shape": list(s.shape)} for s in model.inputs],
        "parameters": total.parameters,
        "macs": total.macs,
        "macs_by_layer": {row.path: row.macs for row in rows if row.macs},
    }
