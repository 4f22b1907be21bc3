"""What an analysis gives: named axes, the parameter dimensions tied to each, and what is frozen by what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from modelpress.errors import InputError, NotFoundError, nearest
from modelpress.graph.axes import indices
from modelpress.graph.axes.call import Value
from modelpress.graph.axes.expr import Atom, Dims, atoms


@dataclass(frozen=True)
class Slice:
    """A dimension of a parameter or buffer that an axis runs along, with ``copies`` positions an index."""

    parameter: str
    dim: int
    copies: int


@dataclass(frozen=True)
class Axis:
    """Dimensions that can only change together.

    ``name`` is stable: it comes from the first parameter in graph order that the axis is tied to
    (``layer1.0.conv1.out``; a dimension that is a product or a concatenation gives ``qkv.out.1``). Removing indices
    whose parameters are zero changes no output, unless an operator that counts or compares the elements runs over
    the axis; ``inexact_because`` is then its name (``LayerNorm``, ``mean``, ``softmax``).
    """

    name: str
    size: int
    slices: tuple[Slice, ...]
    inexact_because: str = ""

    @property
    def exact(self) -> bool:
        return not self.inexact_because


class Axes:
    """The axes of one model; holds no tensor.

    ``parameters`` are the dimensions of parameters and buffers by name, ``values`` those of the graph's values by
    node name; ``named`` lists base name, parameter and dimension of what may be an axis, in graph order (names of
    parameters that the model lacks, such as the weight of a norm without one, count for nothing).
    """

    def __init__(
        self, parameters: Mapping[str, Dims], values: Mapping[str, Value], named: Sequence[tuple[str, str, int]]
    ) -> None:
        self.parameters = parameters
        self.values = values
        self._atoms = _name_atoms(parameters, named)
        slices = _slices(parameters)
        self._axes = {
            name: Axis(name, atom.size, tuple(slices[atom]), atom.inexact)
            for name, atom in self._atoms.items()
            if not atom.frozen
        }

    def prunable(self) -> tuple[Axis, ...]:
        """The axes that indices can be removed from, in graph order."""
        return tuple(self._axes.values())

    def frozen(self) -> dict[str, str]:
        """Name of each axis that must stay as it is -> what froze it (``output``, ``input``, an operator's name)."""
        return {name: atom.frozen for name, atom in self.frozen_atoms().items()}

    def frozen_atoms(self) -> dict[str, Atom]:
        """The index space of each axis that must stay, by the axis' name, in graph order."""
        return {name: atom for name, atom in self._atoms.items() if atom.frozen}

    def axis(self, name: str) -> Axis:
        """The prunable axis of that name.

        Raises:
            NotFoundError: there is none; offers the nearest.
            InputError: it is frozen; says by what.
        """
        if name not in self._atoms:
            raise NotFoundError(f"the model has no axis '{name}': {nearest(name, self._axes)}")
        if name not in self._axes:
            raise InputError(f"axis '{name}' cannot change: frozen by {self._atoms[name].frozen}")
        return self._axes[name]

    def atom(self, axis: Axis) -> Atom:
        return self._atoms[axis.name]

    def positions(self, axis: Axis, where: Slice) -> Tensor:
        """Row ``i``: positions along that dimension which belong to index ``i``; int64 [axis.size, where.copies]."""
        return indices.positions(self.parameters[where.parameter][where.dim], self.atom(axis))


def _name_atoms(parameters: Mapping[str, Dims], named: Sequence[tuple[str, str, int]]) -> dict[str, Atom]:
    """Name every atom of more than one index by the first parameter dimension that holds it."""
    names: dict[str, Atom] = {}
    taken: set[Atom] = set()
    for base, parameter, dim in named:
        inside = list(dict.fromkeys(atoms(parameters[parameter][dim]))) if parameter in parameters else []
        for k, atom in enumerate(inside):
            if atom.size > 1 and atom not in taken:
                taken.add(atom)
                names[base if len(inside) == 1 else f"{base}.{k}"] = atom
    return names


def _slices(parameters: Mapping[str, Dims]) -> dict[Atom, list[Slice]]:
    """Where each atom occurs; a tensor of several names counts once, under the first."""
    found: dict[Atom, list[Slice]] = {}
    seen: set[int] = set()
    for name, dims in parameters.items():
        if id(dims) in seen:
            continue
        seen.add(id(dims))
        for i, dim in enumerate(dims):
            for atom in dict.fromkeys(atoms(dim)):
                found.setdefault(atom, []).append(Slice(name, i, indices.copies(dim, atom)))
    return found
