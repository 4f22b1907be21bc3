"""Digests and the one canonical JSON that everything hashed goes through."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, NewType

from modelpress.errors import InputError

Digest = NewType("Digest", str)
"""``sha256:<64 lower-case hex characters>``."""

_PATTERN = re.compile(r"sha256:[0-9a-f]{64}")


def digest_of(data: bytes) -> Digest:
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def is_digest(text: str) -> bool:
    return _PATTERN.fullmatch(text) is not None


def parse_digest(text: str) -> Digest:
    """``text`` as a digest.

    Raises:
        InputError: it is none.
    """
    if not is_digest(text):
        raise InputError(f"'{text}' is no digest: expected 'sha256:' and 64 hex characters")
    return Digest(text)


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces; equal values give equal bytes.

    Raises:
        ValueError: NaN or infinity, which JSON cannot carry.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
