"""Gates: conditions on a step's metrics, such as ``top1_drop_points: "<= 0.5"``."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from modelpress.errors import InputError

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_CONDITION = re.compile(r"\s*(<=|>=|==|<|>)\s*(\S+)\s*")


@dataclass(frozen=True)
class Condition:
    """``operator`` is one of ``<= < >= > ==``; ``threshold`` is a finite number."""

    operator: str
    threshold: float

    def holds(self, value: float) -> bool:
        """Whether ``value`` passes. NaN never does: a metric that could not be computed opens no gate."""
        return _COMPARE[self.operator](value, self.threshold)

    def __str__(self) -> str:
        return f"{self.operator} {self.threshold:g}" if self._short() else f"{self.operator} {self.threshold!r}"

    def _short(self) -> bool:
        return float(f"{self.threshold:g}") == self.threshold


def parse_condition(text: str) -> Condition:
    """``"<= 0.5"`` as a `Condition`.

    Raises:
        InputError: ``text`` is no operator followed by a finite number.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise InputError(f"'{text}' is no condition: expected '<operator> <number>' with one of {' '.join(_COMPARE)}")
    try:
        threshold = float(match[2])
    except ValueError as e:
        raise InputError(f"'{text}' is no condition: '{match[2]}' is no number") from e
    if not math.isfinite(threshold):
        raise InputError(f"'{text}' is no condition: the number must be finite")
    return Condition(match[1], threshold)


def canonical_condition(value: object) -> str:
    """The condition that ``value``, as it stands in a pipeline, spells, in its one spelling.

    Raises:
        InputError: it spells none.
    """
    return str(parse_condition(value if isinstance(value, str) else repr(value)))
