"""The graph as a package wants it: batch norms folded, operators that runtimes have kernels for, grids as ONNX's own.

Everything here keeps the outputs: equal up to rounding, and equal integers for quantized models.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from modelpress.constraints.dequantize import Dequantize
from modelpress.constraints.fake_quantize import FakeQuantize
from modelpress.constraints.stack import constrained_tensors, constraints_of
from modelpress.errors import InputError
from modelpress.graph.behaviour import Attention
from modelpress.graph.fold import fold_batch_norm
from modelpress.graph.forms import finalize
from modelpress.graph.model import BATCH, Model
from modelpress.graph.packages.attention import ExplicitAttention
from modelpress.graph.shapes import value_shapes

aten = torch.ops.aten
GRIDS: Mapping[tuple[int, bool], torch.dtype] = {(8, False): torch.uint8, (8, True): torch.int8}
"""Grids of activations that ONNX Runtime has kernels for, by bits and sign."""


def lower(model: Model) -> fx.GraphModule:
    """A copy of ``model``'s graph, in evaluation mode, pending constraints burnt in, ready for ``torch.onnx.export``.

    Raises:
        InputError: an activation's grid has no 8-bit ONNX type.
    """
    model = finalize(model)
    shapes = value_shapes(model)
    lowered = copy.deepcopy(fold_batch_norm(model).module).eval()
    if set(model.sizes) <= {BATCH}:  # else images have other sizes at other times
        drop_identity_pools(lowered, shapes)
    pool_globally(lowered, shapes)
    drop_saturated_activations(lowered)
    for path, leaf in list(lowered.named_modules()):
        if isinstance(leaf, FakeQuantize):
            lowered.set_submodule(path, QuantizeDequantize.of(leaf, path))
        elif isinstance(leaf, Attention):
            lowered.set_submodule(path, ExplicitAttention(leaf))
    _lower_integers(lowered)
    lowered.recompile()
    return lowered


def drop_identity_pools(graph_module: fx.GraphModule, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Remove adaptive pooling to the size that the images have (VGG's, at its own input size)."""
    graph = graph_module.graph
    for node in graph.find_nodes(op="call_function", target=aten.adaptive_avg_pool2d.default):
        if list(shapes[node.args[0].name][2:]) == list(node.args[1]):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)


def pool_globally(graph_module: fx.GraphModule, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Make every mean over an image's rows and columns a GlobalAveragePool, which has an integer kernel."""
    graph = graph_module.graph
    for node in list(graph.nodes):
        keeps_axes = _averages_images(node, shapes)
        if keeps_axes is None:
            continue
        path = f"pool_{node.name}"
        graph_module.add_submodule(path, GlobalAveragePool(flatten=not keeps_axes))
        with graph.inserting_before(node):
            pooled = graph.call_module(path, (node.args[0],))
        node.replace_all_uses_with(pooled)
        graph.erase_node(node)


def _averages_images(node: fx.Node, shapes: Mapping[str, tuple[int, ...]]) -> bool | None:
    """Whether the result keeps rows and columns as axes of size 1; None for any other node."""
    if node.op != "call_function" or len(shapes.get(getattr(node.args[0], "name", ""), ())) != 4:
        return None
    if node.target is aten.adaptive_avg_pool2d.default:
        return True if list(node.args[1]) == [1, 1] else None  # type: ignore[arg-type]
    if node.target is not aten.mean.dim or "dtype" in node.kwargs:
        return None
    axes: Any = node.args[1]
    if sorted(axis % 4 for axis in axes) != [2, 3]:
        return None
    return bool(node.args[2]) if len(node.args) > 2 else bool(node.kwargs.get("keepdim", False))


def drop_saturated_activations(graph_module: fx.GraphModule) -> None:
    """Remove rectifiers whose bounds are those of the grid that follows: saturation does their work."""
    graph = graph_module.graph
    for node in graph.find_nodes(op="call_module"):
        leaf = graph_module.get_submodule(str(node.target))
        activation = node.args[0]
        if not isinstance(leaf, FakeQuantize) or not isinstance(activation, fx.Node) or len(activation.users) > 1:
            continue
        bounds = clamp_bounds(activation)
        if bounds and (leaf.integer(bounds[0]), leaf.integer(bounds[1])) == (leaf.quant_min, leaf.quant_max):
            activation.replace_all_uses_with(activation.args[0])  # type: ignore[arg-type]
            graph.erase_node(activation)


def clamp_bounds(node: fx.Node) -> tuple[float, float] | None:
    """Lowest and highest output of a clamping activation, None for any other node."""
    if node.op != "call_function":
        return None
    if node.target is aten.relu.default:
        return 0.0, math.inf
    if node.target is aten.relu6.default:
        return 0.0, 6.0
    if node.target is aten.hardtanh.default:
        bounds: tuple[Any, ...] = node.args[1:]
        low, high = bounds if len(bounds) == 2 else (-1.0, 1.0)
        return float(low), float(high)
    return None


class GlobalAveragePool(nn.Module):
    """Images [n, c, h, w] to their means, [n, c, 1, 1] or, flattened, [n, c]."""

    def __init__(self, flatten: bool) -> None:
        super().__init__()
        self.flatten = flatten

    def forward(self, x: Tensor) -> Tensor:
        n, c = x.shape[:2]
        pooled = torch.onnx.ops.symbolic("GlobalAveragePool", (x,), dtype=x.dtype, shape=(n, c, 1, 1))
        if not self.flatten:
            return pooled
        return torch.onnx.ops.symbolic("Flatten", (pooled,), dtype=x.dtype, shape=(n, c))


class QuantizeDequantize(nn.Module):
    """`FakeQuantize` as the two ONNX operators that it stands for."""

    scale: Tensor
    zero_point: Tensor

    def __init__(self, scale: Tensor, zero_point: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale.clone())
        self.register_buffer("zero_point", zero_point)

    @classmethod
    def of(cls, leaf: FakeQuantize, path: str) -> QuantizeDequantize:
        grid = (leaf.bits, leaf.signed)
        if grid not in GRIDS:
            raise InputError(f"'{path}' is on a grid of {leaf.bits} bits; an ONNX package takes grids of 8 bits")
        return cls(leaf.scale, leaf.zero_point.to(GRIDS[grid]))

    def forward(self, x: Tensor) -> Tensor:
        grid = (self.scale, self.zero_point)
        integers = torch.onnx.ops.symbolic("QuantizeLinear", (x, *grid), dtype=self.zero_point.dtype, shape=x.shape)
        return torch.onnx.ops.symbolic("DequantizeLinear", (integers, *grid), dtype=torch.float32, shape=x.shape)


class DequantizePerChannel(nn.Module):
    """`Dequantize` as the ONNX operator.

    The standard's default for a zero point is 0, and convolutions go without; but ONNX Runtime 1.32 makes a QGemm
    only of weights that state theirs.
    """

    scale: Tensor
    zero_point: Tensor | None

    def __init__(self, scale: Tensor, states_zero_point: torch.dtype | None) -> None:
        super().__init__()
        self.register_buffer("scale", scale.clone())
        zero_point = None if states_zero_point is None else torch.zeros(scale.shape, dtype=states_zero_point)
        self.register_buffer("zero_point", zero_point)

    def forward(self, stored: Tensor) -> Tensor:
        grid = (self.scale,) if self.zero_point is None else (self.scale, self.zero_point)
        return torch.onnx.ops.symbolic(
            "DequantizeLinear", (stored, *grid), {"axis": 0}, dtype=torch.float32, shape=stored.shape
        )


def _lower_integers(lowered: fx.GraphModule) -> None:
    """Integers stay integers in the file; no other constraint is left."""
    for _, leaf, name in list(constrained_tensors(lowered)):
        (constraint,) = constraints_of(leaf, name)
        assert isinstance(constraint, Dequantize)
        stated = torch.int8 if isinstance(leaf, nn.Linear) and name == "weight" else None
        stack: Any = leaf.parametrizations[name]  # type: ignore[index]
        stack[0] = DequantizePerChannel(constraint.scale, stated)
