"""Tensors that a graph makes from nothing, and casts: said again so that they name no device."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import fx

from modelpress.graph import creators
from modelpress.graph.lift.source import bound

aten = torch.ops.aten
Made = tuple[Callable[..., Any], tuple[Any, ...]]


def _sized(target: Any) -> Callable[[Mapping[str, Any]], Made]:
    return lambda a: (target, (a["size"],))


def _arange(a: Mapping[str, Any]) -> Made:
    return creators.arange, (a.get("start", 0), a["end"], a.get("step", 1))


CREATORS: Mapping[Any, Callable[[Mapping[str, Any]], Made]] = {
    aten.zeros.default: _sized(aten.new_zeros.default),
    aten.empty.memory_format: _sized(aten.new_zeros.default),
    aten.ones.default: _sized(aten.new_ones.default),
    aten.full.default: lambda a: (aten.new_full.default, (a["size"], a["fill_value"])),
    aten.scalar_tensor.default: lambda a: (aten.new_full.default, ([], a["s"])),
    aten.arange.default: _arange,
    aten.arange.start: _arange,
    aten.arange.start_step: _arange,
    aten.linspace.default: lambda a: (creators.linspace, (a["start"], a["end"], a["steps"])),
    aten.eye.default: lambda a: (creators.eye, (a["n"], a["n"])),
    aten.eye.m: lambda a: (creators.eye, (a["n"], a["m"])),
}
"""What each creator becomes: a call whose first argument will be a tensor that it is ``like``, its dtype the last."""

PLACES = frozenset({"device", "layout", "pin_memory"})
"""Keywords that say where a new tensor lies: beside the tensor that it is made like."""


def create(graph: fx.Graph, target: Any, arguments: Mapping[str, Any], like: fx.Node, dtype: Any) -> fx.Node:
    """The call that makes what ``target`` made, beside ``like``; of its dtype where ``dtype`` is None."""
    call, args = CREATORS[target](arguments)
    if call in (creators.arange, creators.linspace, creators.eye):
        return graph.call_function(call, (like, *args, dtype))
    return graph.call_function(call, (like, *args), {} if dtype is None else {"dtype": dtype})


def from_nothing(graph: fx.Graph, mutated: frozenset[fx.Node]) -> set[fx.Node]:
    """Calls that compute from creators and sizes alone: they can wait until their result is asked for.

    By then the graph has an activation beside which to create. What is in ``mutated`` (changed in place somewhere)
    must not wait beyond its change: nothing that reads it does.
    """
    found: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op != "call_function" or _is_random(node.target) or _is_impure(node.target):
            continue
        tensors = [n for n in node.all_input_nodes if _is_tensor(n)]
        waits = bool(tensors) and all(n in found and n not in mutated for n in tensors)
        if node.target in CREATORS or waits:
            found.add(node)
    return found


def _is_tensor(node: fx.Node) -> bool:
    return not isinstance(node.meta.get("val"), int | float | bool | torch.SymInt | torch.SymFloat | torch.SymBool)


def _is_impure(target: Any) -> bool:
    schema = getattr(target, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


def _is_random(target: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(target, "tags", ())


def dtype_arguments(node: fx.Node) -> list[str]:
    """Names of the arguments in which a call names a float dtype."""
    if getattr(node.target, "_schema", None) is None:
        return []
    return [k for k, v in bound(node).items() if isinstance(v, torch.dtype) and v.is_floating_point]


def exceeds_half(values: Iterable[Any]) -> bool:
    """Whether a finite number among ``values`` is beyond float16, such as ``torch.finfo(torch.float32).min``.

    Filling a tensor with it raises at a lower precision, where a cast makes it infinite.
    """
    largest = torch.finfo(torch.float16).max
    return any(isinstance(v, float) and math.isfinite(v) and abs(v) > largest for v in values)
