"""The key of a step: equal keys mean that an earlier result stands for this step.

Everything that can change the result is in the key, and nothing else is. Numbers keep their type: ``1`` and ``1.0``
give different keys, since a method may tell them apart (one filter, or all of them). How a user writes a number does
not matter all the same, because a plan's parameters went through the method's own model, which makes every float
field a float.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from modelpress.artifacts.digest import canonical_json

_LAYOUT = 1
"""Raise it when the fields below change, so that no old key is met by accident."""


def step_key(
    tenant: str,
    method: str,
    version: int,
    params: Mapping[str, Any],
    inputs: Mapping[str, str | tuple[str, ...]],
    seed: int,
    threads: int,
    extra: Mapping[str, str] | None = None,
) -> str:
    """64 hex characters that name the result of a step.

    ``method`` is the full name (``service/name``), ``params`` are a plan's (canonical), ``inputs`` map ports to
    digests, several in their order for a port that takes many. ``threads`` are in the key because they change the
    bits of a sum. ``extra`` is what else decides: measurements put the fingerprint of their target there.

    Raises:
        ValueError: a parameter is NaN or infinite, which no plan contains.
    """
    fields = {
        "layout": _LAYOUT,
        "tenant": tenant,
        "service": method.partition("/")[0],
        "method": method,
        "version": version,
        "params": dict(params),
        "inputs": dict(inputs),
        "seed": seed,
        "threads": threads,
        "extra": dict(extra or {}),
    }
    return hashlib.sha256(canonical_json(fields)).hexdigest()
