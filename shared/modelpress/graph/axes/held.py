"""What must stay: each frozen axis with the line of code that holds it, and the weights that it keeps whole."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import fx

from modelpress.constraints.stack import is_parameter, tensors_of
from modelpress.graph.axes.axis import Axes
from modelpress.graph.axes.call import tensors
from modelpress.graph.axes.describe import atoms_of, box_size, once, share_along
from modelpress.graph.axes.expr import Atom, Dims
from modelpress.graph.lift.source import CALLED_AT, user_line
from modelpress.graph.model import Model

ALONE = "one index alone, and an axis keeps at least one"
OUTSIDE = ("output", "vocabulary", "input")
"""What whoever calls the model sees: no change of its code frees these."""
_NODE = re.compile(r" at \w+$")


@dataclass(frozen=True)
class Held:
    """An axis that must stay.

    ``why`` is ``input``, ``output``, ``vocabulary``, or the operator that holds it, with `` at NODE`` where no line is
    known. ``line`` is ``timm/layers/attention.py:120: q, k, v = qkv.unbind(0)``: where that operator was called, what
    was returned, or else the first call along the axis; empty for a graph that came from a file, which keeps no lines.
    ``parameters`` run along the axis. ``whole`` have no dimension that can shrink; each counts at one axis only, of
    those that it has the first that an operator holds, so that over all of `held` they are what cannot be pruned.
    """

    name: str
    why: str
    line: str
    parameters: int
    whole: int


def held(model: Model, axes: Axes) -> list[Held]:
    """The frozen axes in graph order, then each parameter of single indices, under its own name."""
    frozen = axes.frozen_atoms()
    along, whole = _amounts(model, axes, {atom: name for name, atom in frozen.items()})
    lines = _lines(model, axes, set(frozen.values()))
    found = [Held(name, *_reason(atom, lines), along[name], whole[name]) for name, atom in frozen.items()]
    return found + [Held(name, ALONE, "", size, size) for name, size in whole.items() if name not in frozen]


def _amounts(model: Model, axes: Axes, names: Mapping[Atom, str]) -> tuple[Counter[str], Counter[str]]:
    """Parameters along each frozen axis, and those without another that can shrink; of tied ones the first counts."""
    free = {axes.atom(axis) for axis in axes.prunable()}
    owners = tensors_of(model.module)
    along: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for parameter, dims in once(axes):
        if not is_parameter(*owners[parameter]):
            continue
        spaces = atoms_of(dims)
        here = {atom: name for atom, name in names.items() if atom in spaces}
        along.update({name: round(box_size(dims) * share_along(dims, atom)) for atom, name in here.items()})
        if not free & spaces:
            whole[here[min(here, key=_told_last)] if here else parameter] += box_size(dims)
    return along, whole


def _told_last(atom: Atom) -> int:
    return 1 + OUTSIDE.index(atom.frozen) if atom.frozen in OUTSIDE else 0


def _reason(atom: Atom, lines: Mapping[Atom, str]) -> tuple[str, str]:
    """What holds ``atom``, and where."""
    why, _, called = atom.frozen.partition(CALLED_AT)
    line = _theirs(called) or lines.get(atom, "")
    return (_NODE.sub("", why) if line else why), line


def _lines(model: Model, axes: Axes, frozen: set[Atom]) -> dict[Atom, str]:
    """For each of ``frozen`` the first line along it; where the output is what holds it, the line that returns it."""
    found: dict[Atom, str] = {}
    for node in model.module.graph.nodes:
        line = _theirs(user_line(node).removeprefix(CALLED_AT))
        returned = any(user.op == "output" for user in node.users)
        for atom in _touched(node, axes) & frozen if line else ():
            if atom not in found or (returned and atom.frozen == "output"):
                found[atom] = line
    return found


def _theirs(line: str) -> str:
    """Empty for a line of torch's own: a network of its containers has no line that tells anything."""
    return "" if line.startswith("torch/") else line


def _touched(node: fx.Node, axes: Axes) -> set[Atom]:
    """The index spaces of what a call reads, holds and gives; none for a node that calls nothing."""
    if not node.op.startswith("call_"):
        return set()
    return {atom for dims in _dims(node, axes) for atom in atoms_of(dims)}


def _dims(node: fx.Node, axes: Axes) -> Iterator[Dims]:
    for value in (node, *node.all_input_nodes):
        yield from tensors(axes.values[value.name])
    if node.op == "call_module":
        yield from (dims for name, dims in axes.parameters.items() if name.rpartition(".")[0] == node.target)
