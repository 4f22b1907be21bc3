"""Slim copies: a network of the same architecture at a share of its widths, as a student or as a candidate to time."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from modelpress.catalogue import Form
from modelpress.errors import InputError
from modelpress.graph.axes.analysis import analyse
from modelpress.graph.axes.axis import Axes, Axis
from modelpress.graph.axes.expr import Atom, Expr, Product, resolve
from modelpress.graph.axes.remove import remove
from modelpress.graph.axes.selection import keep_count
from modelpress.graph.forms import described, finalize
from modelpress.graph.model import Model


def slim(model: Model, share: float, multiple: int = 8, seed: int | None = None) -> Model:
    """A copy in which every width is about ``share`` of what it was; ``model`` is not touched.

    Of a width that is a product only the major factor shrinks: heads go and their size stays, whole groups go and
    their members stay. So the width itself is halved where half is asked for, not quartered.

    Args:
        multiple: widths are rounded to a multiple of it, where the factors allow.
        seed: draw new weights with it, by the layers' own initialisation; None keeps those of the first indices.

    Raises:
        InputError: a share outside [0, 1], or a multiple below 1.
    """
    axes = analyse(model)
    small = remove(model, axes, slim_choice(axes, share, multiple))
    return small if seed is None else reset(small, seed)


def slim_choice(axes: Axes, share: float, multiple: int = 8) -> dict[str, Tensor]:
    """The first indices of each axis, as many as a copy at ``share`` of every width keeps; int64 [n] by axis."""
    minor = _minor_factors(axes)
    wide = [axis for axis in axes.prunable() if axes.atom(axis) not in minor]
    return {axis.name: torch.arange(keep_count(axis.size, share, _step(axis, multiple))) for axis in wide}


def _step(axis: Axis, multiple: int) -> int:
    """How many indices go at once, so that the narrowest dimension made of them shrinks by ``multiple``."""
    copies = min(where.copies for where in axis.slices)
    return min(axis.size, multiple // math.gcd(multiple, copies))


def _minor_factors(axes: Axes) -> set[Atom]:
    """Atoms that stand behind another prunable one in a product somewhere."""
    free = {axes.atom(axis) for axis in axes.prunable()}
    found: set[Atom] = set()
    for dims in axes.parameters.values():
        for dim in dims:
            found |= _behind(dim, free)
    return found


def _behind(expr: Expr, free: set[Atom]) -> set[Atom]:
    expr = resolve(expr)
    if isinstance(expr, Atom):
        return set()
    inside = [_atoms(part) & free for part in expr.parts]
    nested: set[Atom] = set().union(*(_behind(part, free) for part in expr.parts))
    if not isinstance(expr, Product):
        return nested
    major = next((i for i, part in enumerate(inside) if part), len(inside))
    return nested.union(*inside[major + 1 :])


def _atoms(expr: Expr) -> set[Atom]:
    expr = resolve(expr)
    return {expr} if isinstance(expr, Atom) else set().union(*(_atoms(part) for part in expr.parts))


def reset(model: Model, seed: int) -> Model:
    """A copy with new weights, by each layer's own initialisation; tensors outside of layers are kept.

    Constraints do not hold of new weights, so they are gone.

    Raises:
        InputError: a quantized model; its layers have integers instead of weights.
    """
    plain = finalize(model)
    if plain.form is not Form.DENSE:
        raise InputError(f"new weights are drawn for layers of floats; the model is {plain.form}")
    module = plain.module
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for leaf in _resettable(module).values():
            leaf.reset_parameters()  # type: ignore[operator]
    return described(plain)


def _resettable(module: nn.Module) -> Mapping[str, nn.Module]:
    return {path: leaf for path, leaf in module.named_modules() if hasattr(leaf, "reset_parameters")}
