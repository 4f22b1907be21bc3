"""Why a call cannot be lifted, and what the user can do instead."""

from __future__ import annotations

import torch
from torch import Tensor, fx
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols
from torch.utils import _pytree as pytree

from modelpress.graph.lift.source import user_line

_DATA_SIZED = frozenset({"nonzero", "masked_select", "unique", "_unique2", "unique_consecutive", "item", "bincount"})
_VMAP = frozenset({"_add_batch_dim", "_remove_batch_dim", "_vmap_increment_nesting", "_vmap_decrement_nesting"})


def refusal(node: fx.Node) -> str:
    """A message that names the operator, the user's line, the reason and a way out."""
    reason, way = _reason(node)
    name = node.target if isinstance(node.target, torch._ops.OperatorBase) else _function_name(node)
    return f"the operator {name} {reason}{user_line(node)}; {way}"


def sized_by_data(node: fx.Node) -> bool:
    """Whether the shape of what a call gives depends on its inputs' values, as that of ``x[mask]`` does."""
    return any(free_unbacked_symbols(v) for v in pytree.tree_leaves(node.meta.get("val")) if isinstance(v, Tensor))


def _function_name(node: fx.Node) -> str:
    return str(getattr(node.target, "__name__", node.target))


def _reason(node: fx.Node) -> tuple[str, str]:
    namespace = str(getattr(node.target, "namespace", ""))
    name = str(node.target).removeprefix("aten.").partition(".")[0]
    if namespace == "higher_order":
        return _REGIONS.get(str(node.target), ("holds a graph of its own", "write that part with plain torch calls"))
    if namespace not in ("", "aten"):
        return "is a custom one", "write it with torch's own operators, or as a module that has them in evaluation"
    if _function_name(node) in _VMAP:
        return "is a part of torch.vmap", "broadcast, or write torch.einsum"
    if (
        name.rstrip("_") in _DATA_SIZED
        or sized_by_data(node)
        or node.target is torch.ops.aten._local_scalar_dense.default
    ):
        return "makes sizes or numbers out of data", "use a mask, torch.where or a fixed size instead"
    if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
        return "draws random numbers in evaluation too", "draw only where self.training is True, or pass noise as input"
    return "is not in the format yet", "replace it by operators that are (FORMAT.md lists them), or leave it outside"


_REGIONS = {
    "cond": ("branches on data", "compute both branches and take torch.where"),
    "while_loop": ("loops on data", "loop a fixed number of times"),
    "scan": ("loops over a graph of its own", "loop in Python: torch.export unrolls it"),
    "map_impl": ("loops over a graph of its own", "loop in Python: torch.export unrolls it"),
    "autograd_function_apply": (
        "is an autograd.Function whose gradient a graph does not hold",
        "write its forward with operators whose gradient is the wanted one",
    ),
}
