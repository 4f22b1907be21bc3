"""Which kinds of constraint there are and which go together. Facts only: imports no torch, so that planning can ask."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations


class Order(enum.IntEnum):
    """The place of a constraint in a tensor's stack, innermost first; one constraint a place.

    The pattern of zeros comes last: a codebook without a zero entry would revive what was pruned.
    """

    FACTORS = 0
    VALUES = 1
    PATTERN = 2


@dataclass(frozen=True)
class Kind:
    """A class of constraints as planning and files see it.

    ``name`` is the class's name and the type in files, ``fact`` what a model's facts call it. A ``final`` kind is how
    a finished model stores a tensor, no pending wish: it stands alone in its stack, nothing trains under it, and
    finalizing leaves it.
    """

    name: str
    fact: str
    order: Order
    final: bool = False


MASK = Kind("Mask", "mask", Order.PATTERN)
DEQUANTIZE = Kind("Dequantize", "dequantize", Order.VALUES, final=True)


def conflict(kinds: Iterable[Kind]) -> str:
    """Why no tensor can be under all of ``kinds`` at once; the empty text where it can.

    >>> conflict([DEQUANTIZE, MASK])
    'Dequantize is final and stands alone; Mask cannot be with it'
    """
    for first, second in combinations(kinds, 2):
        for final, other in ((first, second), (second, first)):
            if final.final:
                return f"{final.name} is final and stands alone; {other.name} cannot be with it"
        if first.order == second.order:
            what = _WHAT[first.order]
            return f"{first.name} and {second.name} exclude each other: a tensor has one constraint on its {what}"
    return ""


_WHAT = {Order.FACTORS: "factors", Order.VALUES: "values", Order.PATTERN: "pattern of zeros"}
