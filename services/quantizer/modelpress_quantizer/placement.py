"""Where activations are quantized, so that a runtime can run integer kernels from input to output.

A kernel such as QLinearConv needs its inputs and its output on grids. Operators that only move values pass their
input's grid on; an activation joins the operator before it. What is in none of the tables runs in floats, between
the grids of its neighbours. To support an operator, add it to its table.

Going to integers and back costs more than an addition does. So what is neither convolution nor linear layer runs in
integers only where its result is read in integers: a residual sum before a convolution does, one before a layer norm
does not.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from itertools import count

import torch
from torch import fx, nn

from modelpress.constraints.fake_quantize import FakeQuantize

aten = torch.ops.aten

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
"""Leaf modules with integer kernels, whose weights become integers."""

INTEGER = frozenset(
    {
        aten.adaptive_avg_pool2d.default, aten.add.Tensor, aten.avg_pool2d.default, aten.cat.default,
        aten.mean.dim, aten.mul.Tensor, aten.sigmoid.default,
    }
)  # fmt: skip
"""Operators with integer kernels: quantized inputs, quantized output."""

ACTIVATIONS = frozenset({aten.relu.default, aten.relu6.default, aten.hardtanh.default})
"""Clamps that join the operator before them when nothing else reads it."""

LAYOUT = frozenset(
    {
        aten.contiguous.default, aten.clone.default, aten.flatten.using_ints, aten.max_pool2d.default,
        aten.permute.default, aten.reshape.default, aten.squeeze.dim, aten.t.default, aten.transpose.int,
        aten.unsqueeze.default, aten.view.default,
    }
)  # fmt: skip
"""Operators whose outputs are some of their inputs' values: the grid stays."""

PARTS = frozenset(
    {
        aten.chunk.default, aten.select.int, aten.slice.Tensor, aten.split.Tensor, aten.split_with_sizes.default,
        aten.unbind.int, operator.getitem,
    }
)  # fmt: skip
"""Operators that take parts of a tensor, each with a grid of its own."""

LAYOUT_LEAVES = (nn.Dropout, nn.Identity)


def quantization_points(graph_module: fx.GraphModule) -> list[fx.Node]:
    """Nodes whose values need a grid, in graph order."""
    points: set[fx.Node] = set()
    integers = integer_nodes(graph_module)
    for node in integers:
        points.update(root(graph_module, source) for source in node.all_input_nodes)
        if not (_is_linear(graph_module, node) and integers.isdisjoint(_readers(graph_module, node))):
            points.add(_with_activation(node))
    return [node for node in graph_module.graph.nodes if node in points]


def integer_nodes(graph_module: fx.GraphModule) -> set[fx.Node]:
    """The nodes that run in integers: layers, and operators between them whose results are read in integers.

    A linear layer's integer kernel gives floats where nobody reads integers, a convolution's always gives integers.
    """
    found: set[fx.Node] = set()
    for node in reversed(graph_module.graph.nodes):
        if _is_layer(graph_module, node) or (
            _has_kernel(node) and any(r in found or r.op == "output" for r in _readers(graph_module, node))
        ):
            found.add(node)
    return found


def root(graph_module: fx.GraphModule, node: fx.Node) -> fx.Node:
    """The node that made the values of ``node``: what lies behind operators that only move them."""
    while _is_layout(graph_module, node):
        node = node.all_input_nodes[0]
    return node


def grid_of(graph_module: fx.GraphModule, node: fx.Node) -> FakeQuantize | None:
    """The grid that the values of ``node`` lie on, None where they are floats."""
    source = root(graph_module, node)
    if source.op != "call_module":
        return None
    leaf = graph_module.get_submodule(str(source.target))
    return leaf if isinstance(leaf, FakeQuantize) else None


def insert_grids(graph_module: fx.GraphModule, grids: dict[fx.Node, FakeQuantize]) -> None:
    """Add a `FakeQuantize` leaf behind each node of ``grids``, for all its readers."""
    free = (path for path in map("grid_{}".format, count()) if not hasattr(graph_module, path))
    for node, grid in grids.items():
        path = next(free)
        graph_module.add_submodule(path, grid)
        readers = list(node.users)
        with graph_module.graph.inserting_after(node):
            quantized = graph_module.graph.call_module(path, (node,))
        for reader in readers:
            reader.replace_input_with(node, quantized)
    graph_module.recompile()


def layer_calls(graph_module: fx.GraphModule) -> Iterator[tuple[str, nn.Module, list[fx.Node]]]:
    """Path, module and all calls of each layer that has an integer kernel, in graph order."""
    calls: dict[str, list[fx.Node]] = {}
    for node in graph_module.graph.nodes:
        if _is_layer(graph_module, node):
            calls.setdefault(str(node.target), []).append(node)
    for path, nodes in calls.items():
        yield path, graph_module.get_submodule(path), nodes


def _is_layer(graph_module: fx.GraphModule, node: fx.Node) -> bool:
    return node.op == "call_module" and isinstance(graph_module.get_submodule(str(node.target)), LAYERS)


def _is_linear(graph_module: fx.GraphModule, node: fx.Node) -> bool:
    return node.op == "call_module" and isinstance(graph_module.get_submodule(str(node.target)), nn.Linear)


def _has_kernel(node: fx.Node) -> bool:
    return node.op == "call_function" and node.target in INTEGER and _between_tensors(node)


def _is_layout(graph_module: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(graph_module.get_submodule(str(node.target)), LAYOUT_LEAVES)
    return node.op == "call_function" and node.target in LAYOUT


def _between_tensors(node: fx.Node) -> bool:
    """False for ``x + 1`` and ``x * 0.5``: a constant has no grid."""
    if node.target in (aten.add.Tensor, aten.mul.Tensor):
        return len(node.all_input_nodes) == len(node.args) == 2 and not node.kwargs
    return True


def _with_activation(node: fx.Node) -> fx.Node:
    readers = list(node.users)
    if len(readers) == 1 and readers[0].op == "call_function" and readers[0].target in ACTIVATIONS:
        return readers[0]
    return node


def _readers(graph_module: fx.GraphModule, node: fx.Node) -> list[fx.Node]:
    """Who reads the result of ``node``, with the activation that joins it, behind operators that only move values."""
    found: list[fx.Node] = []
    frontier = list(_with_activation(node).users)
    while frontier:
        reader = frontier.pop()
        if _is_layout(graph_module, reader) or reader.target in PARTS:
            frontier.extend(reader.users)
        else:
            found.append(reader)
    return found
