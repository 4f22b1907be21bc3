"""Regions of an exported graph, no-grad and autocast: inlined, so that a lifted graph has no graphs inside.

What leaves a no-grad region is detached, so gradients are as in the user's module. A region under CPU autocast gets the
casts that torch would make; other devices' autocast and a disabled one change nothing on a CPU.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx

from modelpress.errors import ExportError
from modelpress.graph.lift.dtypes import CASTS, dtype_of
from modelpress.graph.lift.memory import Memory, changes_in_place
from modelpress.graph.lift.source import user_line

aten = torch.ops.aten
higher_order = torch.ops.higher_order
NO_GRAD = "in a no-grad region"
"""Key in a node's ``meta``."""

LOWERED = frozenset(
    {
        aten.conv1d.default, aten.conv2d.default, aten.conv3d.default, aten.conv1d.padding, aten.conv2d.padding,
        aten.conv3d.padding, aten.conv_transpose1d.default, aten.conv_transpose2d.input, aten.conv_transpose3d.input,
        aten.linear.default, aten.matmul.default, aten.mm.default, aten.bmm.default, aten.addmm.default,
        aten.baddbmm.default, aten.einsum.default, aten.prelu.default, aten.scaled_dot_product_attention.default,
    }
)  # fmt: skip
"""CPU autocast runs these in its dtype, whatever float comes in (float64 excepted)."""
RAISED = frozenset(
    {
        aten.adaptive_avg_pool3d.default, aten.avg_pool3d.default, aten.cdist.default, aten.grid_sampler.default,
        aten.max_pool3d.default, aten.pad.default, aten.prod.default, aten.prod.dim_int,
    }
)  # fmt: skip
"""CPU autocast runs these in float32 (some of `aten.pad`'s modes only: the traced value's dtype tells)."""
UNKNOWN = frozenset({aten.lstm.input, aten.gru.input, aten.rnn_tanh.input, aten.rnn_relu.input})
"""What CPU autocast does inside these does not show from outside."""

_KINDS: Mapping[Any, tuple[int, int]] = {
    higher_order.wrap_with_set_grad_enabled: (1, 2),
    higher_order.wrap_with_autocast: (4, 5),
}
"""Where in a region's arguments its graph stands, and where that graph's own arguments begin."""


def inline(module: fx.GraphModule) -> None:
    """Replace every region of ``module.graph`` by its content.

    Raises:
        ExportError: an operator under CPU autocast whose policy is not known, or a change in place, within a no-grad
            region, of a tensor from outside.
    """
    if _inlined(module):
        _detach_what_leaves(module.graph)


def _inlined(module: fx.GraphModule) -> bool:
    regions = [n for n in module.graph.nodes if n.target in _KINDS]
    for node in regions:
        place, own = _KINDS[node.target]
        body = module.get_submodule(node.args[place].target)
        assert isinstance(body, fx.GraphModule)
        _inlined(body)
        if node.target is higher_order.wrap_with_autocast:
            device, dtype, enabled = node.args[:3]
            if enabled and device == "cpu":
                _make_casts_explicit(body.graph, dtype)
        elif not node.args[0]:
            for inner in body.graph.nodes:
                inner.meta.setdefault(NO_GRAD, True)
        _splice(module.graph, node, body, node.args[own:])
    return bool(regions)


def _splice(graph: fx.Graph, region: fx.Node, body: fx.GraphModule, arguments: Sequence[Any]) -> None:
    """Copy ``body`` before ``region`` and let the region's readers read the copies."""
    inputs = body.graph.find_nodes(op="placeholder")
    copies = dict(zip(inputs, arguments, strict=True))
    with graph.inserting_before(region):
        for node in body.graph.nodes:
            if node.op == "call_function":
                copies[node] = graph.node_copy(node, copies.__getitem__)
            elif node.op == "get_attr" and node.users:
                raise ExportError(f"a tensor is made inside a no-grad or autocast region{user_line(region)}")
    results: Any = fx.map_arg(body.graph.output_node().args[0], copies.__getitem__)
    for user in list(region.users):
        assert user.target is operator.getitem
        user.replace_all_uses_with(results[user.args[1]])
        graph.erase_node(user)
    graph.erase_node(region)


def _detach_what_leaves(graph: fx.Graph) -> None:
    _refuse_changes_of_outside(graph)
    for node in list(graph.nodes):
        dtype = dtype_of(node)
        outside = [u for u in node.users if not u.meta.get(NO_GRAD)]
        if not (node.meta.get(NO_GRAD) and outside and dtype is not None and dtype.is_floating_point):
            continue
        with graph.inserting_after(node):
            detached = graph.call_function(aten.detach.default, (node,))
        detached.meta = {**node.meta, NO_GRAD: False}
        for user in outside:
            user.replace_input_with(node, detached)


def _refuse_changes_of_outside(graph: fx.Graph) -> None:
    changes = [n for n in graph.nodes if n.meta.get(NO_GRAD) and changes_in_place(n)]
    memory = Memory(graph) if changes else None
    for node in changes:
        assert memory is not None
        base = memory.base(node)
        if base.op == "call_function" and not base.meta.get(NO_GRAD):
            raise ExportError(
                f"{node.target} changes, under no_grad, a tensor from outside{user_line(node)}: its gradient would not "
                "be the module's; compute a new tensor and detach it"
            )


def _make_casts_explicit(graph: fx.Graph, lower: torch.dtype) -> None:
    for node in [n for n in graph.nodes if n.op == "call_function"]:
        if node.target in UNKNOWN:
            raise ExportError(_no_policy(node))
        if node.target in LOWERED:
            _cast_inputs(graph, node, lower)
        elif node.target in RAISED and dtype_of(node) == torch.float32:
            _cast_inputs(graph, node, torch.float32)
        elif not _natural(node, lower):
            raise ExportError(_no_policy(node))


def _no_policy(node: fx.Node) -> str:
    return (
        f"what autocast does to {node.target} on a CPU is not known{user_line(node)}; call it outside "
        "torch.autocast, with the casts that you want"
    )


def _natural(node: fx.Node, lower: torch.dtype) -> bool:
    """Whether a call's traced dtype is what its inputs give without autocast."""
    dtype, inputs = dtype_of(node), {dtype_of(n) for n in node.all_input_nodes} - {None}
    floats = {d for d in inputs if d is not None and d.is_floating_point}
    if dtype is None or not dtype.is_floating_point or not floats or node.target in CASTS or "dtype" in node.kwargs:
        return True
    if any(isinstance(a, torch.dtype) for a in node.args):
        return True
    return dtype in floats and (dtype != lower or floats == {lower} or len(floats) == 1)


def _cast_inputs(graph: fx.Graph, node: fx.Node, dtype: torch.dtype) -> None:
    for source in node.all_input_nodes:
        current = dtype_of(source)
        if current is None or not current.is_floating_point or current in (dtype, torch.float64):
            continue
        with graph.inserting_before(node):
            cast = graph.call_function(aten.to.dtype, (source, dtype))
        cast.meta = {**source.meta, "val": source.meta["val"].to(dtype)}
        node.replace_input_with(source, cast)
