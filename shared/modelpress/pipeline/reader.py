"""Values of the expected shape out of plain data, noting every fault instead of stopping at the first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from modelpress.errors import Violation, nearest

INPUTS = "inputs"
"""Stands for the pipeline's own inputs where a step's name could stand."""

NAME = re.compile(r"[a-z0-9][a-z0-9-]*")

_LATER = {"search": "'search' comes in a later version; 'matrix' tries every combination"}


class Reader:
    """Notes a fault and goes on with an empty value where the shape is wrong."""

    def __init__(self, faults: list[Violation]) -> None:
        self.faults = faults

    def fault(self, path: str, message: str, suggestion: str = "") -> None:
        self.faults.append(Violation(path or "document", message, suggestion))

    def mapping(self, value: Any, path: str, *, required: bool = False) -> dict[str, Any]:
        if value is None and path and not required:
            return {}
        if not isinstance(value, Mapping):
            self.fault(path, "is missing" if value is None else f"must be a mapping, got {shown(value)}")
            return {}
        for key in value:
            if not isinstance(key, str):
                self.fault(path, f"key {key!r} is no string", "put it in quotes")
        return {key: entry for key, entry in value.items() if isinstance(key, str)}

    def keys(self, fields: Mapping[str, Any], known: Sequence[str], path: str) -> None:
        """Note keys that mean nothing."""
        for key in fields:
            if key in known:
                continue
            place = f"{path}.{key}" if path else key
            if key in _LATER:
                self.fault(place, "is not there yet", _LATER[key])
            else:
                self.fault(place, f"'{key}' means nothing here", nearest(key, known))

    def text(self, value: Any, path: str, *, required: bool = False) -> str:
        if value is None and not required:
            return ""
        if not isinstance(value, str):
            self.fault(path, "is missing" if value is None else f"must be text, got {shown(value)}")
            return ""
        return value.strip()

    def name(self, value: Any, path: str) -> str:
        text = self.text(value, path, required=True)
        if isinstance(value, str) and not NAME.fullmatch(text):
            self.fault(path, f"'{text}' is no name", "lower-case letters, digits and '-', as in 'slim-2'")
            return ""
        return text

    def constant(self, fields: Mapping[str, Any], key: str, expected: str) -> None:
        if fields.get(key) != expected:
            got = f"is {shown(fields[key])}" if key in fields else "is missing"
            self.fault(key, got, f"this version reads '{expected}'")

    def seed(self, value: Any) -> int:
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
            self.fault("seed", f"must be a whole number from 0 to 2^63 - 1, got {shown(value)}")
            return 0
        return value


def shown(value: Any) -> str:
    """``value`` for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
