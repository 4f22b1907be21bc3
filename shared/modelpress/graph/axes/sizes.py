"""Sizes: those of a graph's values at telling inputs, and sizes that the graph computes while it runs.

With a dynamic batch, a view into heads is written ``view(x, [batch * 12, length, 64])``, where 12 is a literal in a
product. Two things keep such graphs right when indices go:

- every integer of the graph keeps the value that it had: a size that is read off a dimension which shrinks is scaled
  back at once (`read_size`), so that nothing computed from it moves;
- where an integer is used as a dimension's size, it is scaled to what the dimension has become (`write_sizes`).

Both need the dimension to be a product in which whole factors shrink. A computed one that concatenates what shrinks
with what may grow with the input has no fixed scale, and is frozen at the end of the analysis (`freeze_mixed`).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

from torch import fx

from modelpress.graph.axes.call import Call, Computed, Value, argument, set_argument
from modelpress.graph.axes.expr import Atom, Dims, Expr, atoms, factors, freeze, resolve
from modelpress.graph.axes.resize import Resizer
from modelpress.graph.model import BATCH, Model
from modelpress.graph.shapes import Shapes, shapes_of

TELLING_BATCH = 10007
"""A prime: no product of widths, heads or windows looks like a multiple of it."""
TELLING_SIZES = (37, 41, 43, 47, 53, 59)
"""Primes for other symbols; small, since a model may limit its length."""


def telling_shapes(model: Model) -> dict[fx.Node, Shapes]:
    """Shapes of all nodes at inputs of prime sizes, so that a dimension's size tells what it is made of.

    Symbols other than the batch stay as in the user's example where the graph does not run at others.
    """
    others = [symbol for symbol in model.sizes if symbol != BATCH]
    primes = dict(zip(others, TELLING_SIZES, strict=False))
    for sizes in ({BATCH: TELLING_BATCH, **primes}, {BATCH: TELLING_BATCH}):
        try:
            return shapes_of(model, **sizes)
        except (RuntimeError, ValueError, IndexError):  # the graph holds for some sizes only
            continue
    return shapes_of(model)


def note_computed(call: Call, dims: Iterable[Expr], sizes: Iterable[Any]) -> None:
    """Report the dimensions whose size is a value of the graph."""
    for dim, size in zip(dims, sizes, strict=True):
        if isinstance(size, fx.Node):
            call.computed.append(Computed(dim, f"size computed in the graph, {call.why}"))


def freeze_mixed(computed: Sequence[Computed]) -> None:
    """Freeze computed dimensions that concatenate something frozen, which may depend on the input, with something not.

    Runs after all rules: what is frozen is known by then. A computed dimension that met nothing depends on the input.
    """
    for found in computed:
        if isinstance(resolve(found.dim), Atom):
            freeze(found.dim, found.why)
    for found in computed:
        for factor in factors(found.dim):
            if len({bool(atom.frozen) for atom in atoms(factor)}) > 1:
                freeze(factor, found.why)


def size_of(call: Call) -> Value:
    """A dimension's size as a number: it keeps its value whatever goes."""
    call.computed.append(Computed(call.dims(0)[call.dim()], f"its size is used as a number, {call.why}"))
    return None


def read_size(node: fx.Node, resizer: Resizer) -> None:
    """Scale a size that has shrunk back to what it was, for all its users."""
    source = node.all_input_nodes[0]
    dims = resizer.dims(source)
    old, new = scale(dims[int(argument(node, "dim")) % len(dims)], resizer)
    if old != new:
        users = list(node.users)
        restored = scaled(node, new, old, after=node)
        for user in users:
            user.replace_input_with(node, restored)


def write_sizes(node: fx.Node, name: str, dims: Dims, resizer: Resizer) -> None:
    """Write what ``dims`` have become into the list argument ``name``; -1 follows by itself."""
    old = argument(node, name)
    set_argument(node, name, [_written(node, n, dim, resizer) for n, dim in zip(old, dims, strict=True)])


def _written(node: fx.Node, size: Any, dim: Expr, resizer: Resizer) -> Any:
    if isinstance(size, fx.Node):
        return scaled(size, *scale(dim, resizer), after=node.prev)
    return size if size == -1 else resizer.size(dim)


def scale(dim: Expr, resizer: Resizer) -> tuple[int, int]:
    """Before and after of the factors of ``dim`` that shrink; 1 and 1 where none does."""
    shrinking = [factor for factor in factors(dim) if resizer.size(factor) != factor.size]
    return math.prod(f.size for f in shrinking), math.prod(resizer.size(f) for f in shrinking)


def scaled(size: fx.Node, old: int, new: int, after: fx.Node) -> fx.Node:
    """``size // old * new`` of a multiple of ``old``; where a literal factor holds ``old`` it is replaced instead."""
    if old == new:
        return size
    whole, factor = _literal_factor(size)
    if factor % old == 0:
        return _times(whole, factor // old * new, after)
    whole = _inserted(after, operator.floordiv, size, old)
    return _times(whole, new, whole)


def _times(whole: fx.Node, factor: int, after: fx.Node) -> fx.Node:
    return whole if factor == 1 else _inserted(after, operator.mul, whole, factor)


def _literal_factor(size: fx.Node) -> tuple[fx.Node, int]:
    """``(n, 12)`` of ``n * 12`` or ``12 * n``, else the size itself and 1."""
    if size.target is operator.mul:
        for whole, factor in (size.args, size.args[::-1]):
            if isinstance(whole, fx.Node) and isinstance(factor, int):
                return whole, factor
    return size, 1


def _inserted(after: fx.Node, target: Any, *args: Any) -> fx.Node:
    with after.graph.inserting_after(after):
        return after.graph.call_function(target, args)


def drop_unused(graph: fx.Graph) -> None:
    """Remove integer arithmetic that nothing reads any more."""
    for node in reversed(list(graph.nodes)):
        if node.target in ARITHMETIC and not node.users:
            graph.erase_node(node)


ARITHMETIC = (operator.mul, operator.floordiv)
"""What writing a new size may leave behind."""
