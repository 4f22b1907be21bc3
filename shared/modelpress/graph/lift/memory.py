"""Who shares memory with whom in an exported graph, and how a change of a view changes what it is a view of.

An exported graph changes tensors in place; a lifted one never does. So a change becomes a new value of the changed
tensor, and where that is a view, a new value of the whole tensor; later readers get the new values.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx

from modelpress.errors import ExportError
from modelpress.graph.lift.canonical import canonical
from modelpress.graph.lift.dtypes import FOLLOWS, dtype_of
from modelpress.graph.lift.source import bound, user_line

aten = torch.ops.aten
_SOMETIMES_VIEWS = frozenset(
    {aten.flatten.using_ints, aten.reshape.default, aten.contiguous.default, aten.to.dtype, aten.to.device}
)
"""Views where the tensor's strides allow it: their schemas promise nothing."""


def changes_in_place(node: fx.Node) -> bool:
    """Whether a call changes its first argument and returns it."""
    schema = getattr(node.target, "_schema", None)
    if schema is None or not schema.is_mutable or not schema.arguments:
        return False
    first = schema.arguments[0].alias_info
    return first is not None and bool(first.is_write)


class Memory:
    """Views and their bases; only tensors that some call changes in place matter."""

    def __init__(self, graph: fx.Graph) -> None:
        self.order = {node: i for i, node in enumerate(graph.nodes)}
        self.parent: dict[fx.Node, fx.Node] = {}
        self.family: dict[fx.Node, list[fx.Node]] = {}
        changed = []
        for node in graph.nodes:
            parent = _viewed(node)
            if parent is not None:
                self.parent[node] = parent
            if changes_in_place(node):
                changed.append(self.base(node))
        for node in graph.nodes if changed else ():
            self.family.setdefault(self.base(node), []).append(node)
        self.changed = frozenset(n for base in set(changed) for n in self.family[base])

    def base(self, node: fx.Node) -> fx.Node:
        """The tensor that ``node`` is a view of, or is itself."""
        while node in self.parent:
            node = self.parent[node]
        return node

    def read_later(self, node: fx.Node) -> bool:
        """Whether anything that shares memory with what ``node`` changes, but that itself, is read after it."""
        own = {node, node.args[0]}
        relatives = [n for n in self.family[self.base(node)] if n not in own]
        return any(self.order[u] > self.order[node] and u not in own for n in relatives for u in n.users)


def _viewed(node: fx.Node) -> fx.Node | None:
    """What ``node`` shares its memory with: the first argument of a view or of a change in place."""
    first = node.args[0] if node.args else None
    if not isinstance(first, fx.Node):
        return None
    if node.target is operator.getitem:
        return first if _returns_view(first) else None
    return first if changes_in_place(node) or _returns_view(node) else None


def _returns_view(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return False
    promised = any(r.alias_info is not None and not r.alias_info.is_write for r in schema.returns)
    if not promised and node.target not in _SOMETIMES_VIEWS:
        return False
    ours, theirs = _storage(node), _storage(node.args[0])
    return ours is None or theirs is None or ours == theirs


def _storage(node: Any) -> int | None:
    """The traced tensor's memory; None where the trace did not keep it (a graph that was read from a file)."""
    value = node.meta.get("val")
    if isinstance(value, list | tuple) and value:
        value = value[0]
    return value.untyped_storage()._cdata if isinstance(value, Tensor) else None


def written_back(graph: fx.Graph, view: fx.Node, parent: fx.Node, value: fx.Node) -> fx.Node:
    """The whole tensor after its ``view`` became ``value``: ``parent`` is its value before, in the new graph.

    Raises:
        ExportError: a view whose change the format cannot express.
    """
    if changes_in_place(view):
        return value
    rule = _WRITES.get(view.target)
    if rule is None:
        raise ExportError(
            f"a view made by {view.target} is changed in place and the tensor is read later{user_line(view)}; "
            "change the tensor itself, or work on a clone"
        )
    return graph.call_function(*rule(view, parent, value))


Write = tuple[Callable[..., Any], tuple[Any, ...]]
Rule = Callable[[fx.Node, fx.Node, fx.Node], Write]


def _slice(view: fx.Node, parent: fx.Node, value: fx.Node) -> Write:
    a = bound(view)
    return aten.slice_scatter.default, (parent, value, a["dim"], a["start"], a["end"], a["step"])


def _select(view: fx.Node, parent: fx.Node, value: fx.Node) -> Write:
    a = bound(view)
    return aten.select_scatter.default, (parent, value, a["dim"], a["index"])


def _reshaped(view: fx.Node, parent: fx.Node, value: fx.Node) -> Write:
    return aten.reshape_as.default, (value, parent)


def _same(view: fx.Node, parent: fx.Node, value: fx.Node) -> Write:
    return aten.alias.default, (value,)


def _transposed(view: fx.Node, parent: fx.Node, value: fx.Node) -> Write:
    a = bound(view)
    return aten.transpose.int, (value, a["dim0"], a["dim1"])


def _flipped(view: fx.Node, parent: fx.Node, value: fx.Node) -> Write:
    return aten.t.default, (value,)


def _permuted(view: fx.Node, parent: fx.Node, value: fx.Node) -> Write:
    dims = [d % len(bound(view)["dims"]) for d in bound(view)["dims"]]
    return aten.permute.default, (value, [dims.index(i) for i in range(len(dims))])


def _part(view: fx.Node, parent: fx.Node, value: fx.Node) -> Write:
    """One of the parts that ``split``, ``chunk`` or ``unbind`` gave: ``parent`` is what they were given."""
    parts, index = view.args
    assert isinstance(parts, fx.Node)
    assert isinstance(index, int)
    dim = bound(parts)["dim"]
    if parts.target is aten.unbind.int:
        return aten.select_scatter.default, (parent, value, dim, index)
    sizes = [part.shape[dim] for part in parts.meta["val"]]
    if not all(isinstance(n, int) for n in sizes):
        raise ExportError(f"a part of dynamic size is changed in place{user_line(view)}; concatenate new parts instead")
    start = sum(sizes[:index])
    return aten.slice_scatter.default, (parent, value, dim, start, start + sizes[index], 1)


_WRITES: Mapping[Any, Rule] = {
    aten.slice.Tensor: _slice,
    aten.select.int: _select,
    aten.transpose.int: _transposed,
    aten.t.default: _flipped,
    aten.permute.default: _permuted,
    operator.getitem: _part,
    **dict.fromkeys(
        (aten.alias.default, aten.detach.default, aten.contiguous.default, aten.to.dtype, aten.to.device), _same
    ),
    **dict.fromkeys(
        (
            aten.view.default, aten.reshape.default, aten.flatten.using_ints, aten.unflatten.int, aten.view_as.default,
            aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.unsqueeze.default, aten.reshape_as.default,
        ),
        _reshaped,
    ),
}  # fmt: skip
"""How each kind of view gives a change back to the tensor that it is a view of."""


WRITERS = (aten.zero_.default, aten.fill_.Scalar, aten.fill_.Tensor, aten.copy_.default)
"""Operators that overwrite a tensor, whatever it was."""


def pure(graph: fx.Graph, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> fx.Node:
    """The value that a change in place gives the changed tensor, of that tensor's shape and dtype."""
    target, whole = node.target, args[0]
    if target is aten.zero_.default:
        return graph.call_function(aten.zeros_like.default, (whole,))
    if target is aten.fill_.Scalar:
        return graph.call_function(aten.full_like.default, (whole, args[1]))
    if target in (aten.fill_.Tensor, aten.copy_.default):
        same_type = graph.call_function(aten.type_as.default, (args[1], whole))
        return graph.call_function(aten.expand_as.default, (same_type, whole))
    value = graph.call_function(canonical(target), args, kwargs)
    return value if _keeps_dtype(node) else graph.call_function(aten.type_as.default, (value, whole))


def _keeps_dtype(node: fx.Node) -> bool:
    """Whether the pure form has the changed tensor's dtype of itself: all operands have it, and it compares nothing."""
    packet = node.target.overloadpacket.__name__  # type: ignore[union-attr]
    dtypes = {(dtype_of(n), n.meta.get(FOLLOWS)) for n in node.all_input_nodes if dtype_of(n) is not None}
    return packet not in _COMPARE and (packet not in _PROMOTE or len(dtypes) == 1)


_COMPARE = frozenset({"eq_", "ne_", "lt_", "le_", "gt_", "ge_", "logical_and_", "logical_or_", "logical_not_"})
_PROMOTE = frozenset({"add_", "sub_", "mul_", "div_", "pow_", "remainder_", "floor_divide_", "lerp_", "addcmul_"})
