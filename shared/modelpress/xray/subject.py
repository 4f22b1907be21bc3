"""What of a model decides which recipes take it."""

from __future__ import annotations

from torch import fx, nn

from modelpress.graph.model import BATCH, Model
from modelpress.graph.outputs import plain
from modelpress.graph.shapes import shapes_of

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def sample_shape(model: Model) -> tuple[int, ...] | None:
    """The shape of one image or vector, of a classifier of such; None for any other model."""
    spec, *others = model.inputs
    fixed = tuple(n for n in spec.shape[1:] if isinstance(n, int))
    if others or spec.dtype != "float32" or spec.shape[:1] != (BATCH,) or len(fixed) != len(spec.shape) - 1:
        return None
    return fixed if _gives_logits(model) else None


def has_batch_norms(model: Model) -> bool:
    return any(isinstance(leaf, NORMS) for _, leaf in model.leaves())


def _gives_logits(model: Model) -> bool:
    """Whether the only output is [batch, classes]."""
    leaves = plain(model.module.graph.output_node().args[0]).leaves().values()
    nodes = [leaf for leaf in leaves if isinstance(leaf, fx.Node)]
    shape = shapes_of(model)[nodes[0]] if len(nodes) == 1 else None
    return isinstance(shape, tuple) and len(shape) == 2
