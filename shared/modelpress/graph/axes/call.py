"""One node of a graph as a rule sees it: arguments by name, shapes, and the dimensions of what comes in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import fx, nn

from modelpress.graph.axes.expr import Dims, Expr
from modelpress.graph.leaves import leaf_type
from modelpress.graph.lift.source import user_line
from modelpress.graph.shapes import Shape, Shapes

Value: TypeAlias = "Dims | tuple[Value, ...] | None"
"""The dimensions of a tensor, of a tuple of values, or None for a value that is no tensor."""


def tensors(value: Value) -> list[Dims]:
    """The dimensions of each tensor in ``value``."""
    if isinstance(value, tuple):
        return [dims for part in value for dims in tensors(part)]
    return [] if value is None else [value]


@dataclass(frozen=True)
class Contraction:
    """``operator`` sums products of ``sources`` over ``dims``, which each has: exact if one of them is zero there."""

    operator: str
    dims: Dims
    sources: tuple[fx.Node, ...]


@dataclass(frozen=True)
class Computed:
    """A dimension whose size is a value of the graph; ``why`` is the reason given where that forbids removing."""

    dim: Expr
    why: str


@dataclass(frozen=True)
class Call:
    """A node that calls an operator or a leaf module.

    ``values`` are the dimensions of earlier nodes, ``parameters`` those of the module tree's parameters and buffers,
    ``contractions`` and ``computed`` collect what rules report.
    """

    node: fx.Node
    shapes: Mapping[fx.Node, Shapes]
    values: Mapping[fx.Node, Value]
    parameters: Mapping[str, Dims]
    contractions: list[Contraction]
    leaf: nn.Module | None = None
    computed: list[Computed] = field(default_factory=list)

    @property
    def operator(self) -> str:
        """``layer_norm``, ``reshape``, ``LayerNorm``: what reports call it."""
        return leaf_type(self.leaf) if self.leaf is not None else operator_name(self.node)

    @property
    def why(self) -> str:
        """The reason given for what freezes here: ``reshape at reshape_3, called at net.py:31: x = x.view(2, -1)``."""
        return f"{self.operator} at {self.node.name}{user_line(self.node)}"

    @property
    def shape(self) -> Shape:
        """The output's shape, of a call that gives one tensor."""
        shape = self.shapes[self.node]
        if not isinstance(shape, tuple):
            raise TypeError(f"{self.why} does not give one tensor")
        return shape

    @property
    def out_shapes(self) -> list[Shape]:
        """The outputs' shapes, of a call that gives several tensors."""
        shapes = self.shapes[self.node]
        if not isinstance(shapes, list):
            raise TypeError(f"{self.why} does not give a tuple of tensors")
        return shapes

    def argument(self, name: str) -> Any:
        """An operator's argument by its name in the schema, or its default."""
        return argument(self.node, name)

    def dims(self, source: str | fx.Node | int) -> Dims:
        """Dimensions of a tensor argument: by schema name, by position (leaf modules), or of a node."""
        node = self.source(source)
        dims = self.values.get(node)
        if not isinstance(dims, list):
            raise TypeError(f"{self.why}: {node} is not one tensor")
        return dims

    def source(self, source: str | fx.Node | int) -> fx.Node:
        """The node behind a tensor argument."""
        value = source
        if isinstance(source, str):
            value = self.argument(source)
        elif isinstance(source, int):
            value = self.node.args[source]  # type: ignore[assignment]
        if not isinstance(value, fx.Node):
            raise TypeError(f"{self.why}: argument {source!r} is no value of the graph")
        return value

    def has(self, name: str) -> bool:
        """Whether the operator has a tensor argument of that name, and it is given."""
        return name in argument_names(self.node) and isinstance(self.argument(name), fx.Node)

    def dim(self, name: str = "dim", rank: int | None = None) -> int:
        """A dimension argument counted from the front; ``rank`` is the input's unless told."""
        return int(self.argument(name)) % (len(self.dims(0)) if rank is None else rank)

    def weight(self, name: str = "weight") -> Dims | None:
        """A leaf's own parameter or buffer, or an operator's tensor argument; None where there is none."""
        if self.leaf is not None:
            return self.parameters.get(f"{self.node.target}.{name}")
        return self.dims(name) if self.has(name) else None

    def setting(self, name: str) -> Any:
        """An attribute of the leaf (``groups``), or an argument of the operator."""
        return getattr(self.leaf, name) if self.leaf is not None else self.argument(name)

    def tensors(self) -> list[Dims]:
        """Dimensions of every tensor argument, in order."""
        return [dims for node in self.node.all_input_nodes if isinstance(dims := self.values.get(node), list)]

    def contract(self, dims: Dims, *sources: fx.Node) -> None:
        """Report that ``dims``, which every one of ``sources`` has, are summed over."""
        self.contractions.append(Contraction(self.operator, dims, sources))


def operator_name(node: fx.Node) -> str:
    """``reshape`` of ``aten.reshape.default``; the function's own name where it is no operator."""
    if isinstance(node.target, torch._ops.OpOverload):
        return str(node.target.overloadpacket.__name__)
    return getattr(node.target, "__name__", str(node.target))


def argument(node: fx.Node, name: str) -> Any:
    """An operator's argument by its name in the schema, or its default."""
    position, default = _schema_slot(node, name)
    if position < len(node.args):
        return node.args[position]
    return node.kwargs.get(name, default)


def argument_names(node: fx.Node) -> tuple[str, ...]:
    """What the operator's schema calls its arguments."""
    if not isinstance(node.target, torch._ops.OpOverload):
        raise TypeError(f"{node} calls no operator with a schema")
    return tuple(slot.name for slot in node.target._schema.arguments)


def set_argument(node: fx.Node, name: str, value: Any) -> None:
    """Replace an operator's argument, where it is given or else by name."""
    position, _ = _schema_slot(node, name)
    if position < len(node.args):
        node.update_arg(position, value)
    else:
        node.update_kwarg(name, value)


def _schema_slot(node: fx.Node, name: str) -> tuple[int, Any]:
    names = argument_names(node)
    if name in names:
        slot = node.target._schema.arguments[names.index(name)]  # type: ignore[union-attr]
        return names.index(name), slot.default_value if slot.has_default_value() else None
    raise KeyError(f"{node.target} has no argument {name!r}")
