"""In-place operators become their pure forms, where that changes nothing."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from modelpress.errors import ExportError


def functional_form(target: Any) -> Any:
    """``aten.relu_.default`` -> ``aten.relu.default``; anything else is returned as it is."""
    packet = getattr(target, "overloadpacket", None)
    if packet is None or not packet.__name__.endswith("_") or packet.__name__.startswith("__"):
        return target
    pure = getattr(torch.ops.aten, packet.__name__[:-1], None)
    return getattr(pure, target._overloadname, target) if pure is not None else target


def alias_free(graph: fx.Graph) -> None:
    """Make later readers of a tensor that was changed in place read the operator's result instead.

    Raises:
        ExportError: the changed tensor is a view of another that is read later, or the other way round; then the pure
            form would mean something else.
    """
    order = {node: i for i, node in enumerate(graph.nodes)}
    for node in list(graph.nodes):
        if node.op != "call_function" or functional_form(node.target) is node.target:
            continue
        changed = node.args[0]
        if any(relative.op == "get_attr" for relative in _relatives(changed)):
            raise ExportError(f"{node.target} changes a tensor of the model itself in evaluation")
        for relative in _relatives(changed):
            if relative is not changed and any(order[u] > order[node] for u in relative.users):
                raise ExportError(f"{node.target} changes a view of a tensor that is read later ({relative.name})")
        for user in list(changed.users):
            if user is not node and order[user] > order[node]:
                user.replace_input_with(changed, node)


def _relatives(node: fx.Node) -> set[fx.Node]:
    """Nodes that share memory with ``node``: what it is a view of, and what is a view of those."""
    base = node
    while _is_view(base):
        base = base.args[0]  # type: ignore[assignment]
    found, queue = {base}, [base]
    while queue:
        views = [u for u in queue.pop().users if _is_view(u) and u not in found]
        found.update(views)
        queue.extend(views)
    return found


def _is_view(node: fx.Node) -> bool:
    if node.target is operator.getitem:
        return isinstance(node.args[0], fx.Node) and _is_view(node.args[0])
    schema = getattr(node.target, "_schema", None)
    if schema is None or functional_form(node.target) is not node.target:
        return False
    return any(r.alias_info is not None and not r.alias_info.is_write for r in schema.returns) or (
        node.target is torch.ops.aten.flatten.using_ints
        or node.target is torch.ops.aten.reshape.default
        or node.target is torch.ops.aten.contiguous.default
    )
