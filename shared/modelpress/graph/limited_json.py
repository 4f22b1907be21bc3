"""JSON from somebody else, read with limits on its bytes, depth, numbers and keys."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from modelpress.errors import ModelFormatError

MAX_INT_DIGITS = 20


def read_json(data: bytes, name: str, *, max_bytes: int, max_depth: int) -> Any:
    """The value that ``data`` holds; ``name`` says in errors whose it is.

    Raises:
        ModelFormatError: too large, no JSON, duplicate keys, too deep, an integer of more than 20 digits, a float that
            is not finite.
    """
    if len(data) > max_bytes:
        raise ModelFormatError(f"{name} has {len(data)} bytes; the limit is {max_bytes}")
    try:
        value = json.loads(
            data.decode(),  # given bytes, it would take UTF-16 and UTF-32 too
            object_pairs_hook=_unique(name),
            parse_int=_bounded_int(name),
            parse_float=_finite(name),
            parse_constant=_no_constant(name),
        )
    except (UnicodeDecodeError, json.JSONDecodeError) as e:
        raise ModelFormatError(f"{name} is no JSON: {e}") from e
    except RecursionError as e:
        raise ModelFormatError(f"{name} is nested too deeply") from e
    _check_depth(value, name, max_depth)
    return value


def _unique(name: str) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    def read(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ModelFormatError(f"{name} has a duplicate key among {[k[:80] for k, _ in pairs][:8]}")
        return found

    return read


def _bounded_int(name: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        if len(text) > MAX_INT_DIGITS:
            raise ModelFormatError(f"{name} has an integer of {len(text)} digits")
        return int(text)

    return read


def _finite(name: str) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise ModelFormatError(f"{name} has the number {text[:40]}, which is not finite")
        return value

    return read


def _no_constant(name: str) -> Callable[[str], float]:
    def read(text: str) -> float:
        raise ModelFormatError(f"{name} has the bare constant {text}, which is no JSON")

    return read


def _check_depth(value: Any, name: str, max_depth: int) -> None:
    level: list[Any] = [value]
    for _ in range(max_depth):
        children = (c.values() if isinstance(c, dict) else c for c in level if isinstance(c, dict | list))
        level = [x for child in children for x in child]
        if not level:
            return
    raise ModelFormatError(f"{name} is nested deeper than {max_depth}")
