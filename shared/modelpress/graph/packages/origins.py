"""Where the nodes of an ONNX file came from, while the exporter's records of it are still there."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

SCOPES = "pkg.torch.onnx.name_scopes"
RULE = "pkg.onnxscript.rewriter.rule_name"
FOLDED = "FuseBatchNormInto"
CLASSES = "pkg.torch.onnx.class_hierarchy"


def origins_of(program: onnx.ModelProto) -> tuple[str, ...]:
    """For each node, in order: the path of the leaf module, or the name of the operator, that it computes.

    Empty for a node that the exporter tells nothing about.
    """
    return tuple(_origin(node) for node in program.graph.node)


def _origin(node: onnx.NodeProto) -> str:
    """Scopes go from the outside in: ``['', 'layer1.0.conv1', 'conv2d']``; the last is the exporter's own name.

    A layer that the exporter folded a batch norm into has the norm's scopes, and its own weight.
    """
    records = {entry.key: entry.value for entry in node.metadata_props}
    if records.get(RULE, "").startswith(FOLDED):
        return str(node.input[1]).rpartition(".")[0]
    *modules, _ = ast.literal_eval(records.get(SCOPES, "['']"))
    path = modules[-1] if modules else ""
    if path and not path.startswith("_empty_nn_module_stack"):
        return path.partition("@")[0].partition(".parametrizations.")[0]  # @ counts the calls of one module
    operator = ast.literal_eval(records.get(CLASSES, "['']"))[-1]
    return str(operator).removeprefix("aten.").partition(".")[0]
