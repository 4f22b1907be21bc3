"""What may be called what in a store; the one check that every adapter makes before a name becomes a path or key."""

from __future__ import annotations

import re

from modelpress.errors import InputError

MAX_TAG_LENGTH = 128

_KEY = re.compile(r"[0-9a-f]{64}")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")


def check_key(key: str) -> str:
    """``key`` itself.

    Raises:
        InputError: it is no step key.
    """
    if not is_key(key):
        raise InputError(f"'{key}' is no step key: expected 64 lower-case hex characters")
    return key


def is_key(text: str) -> bool:
    return _KEY.fullmatch(text) is not None


def check_tag(name: str) -> str:
    """``name`` itself, for example ``fashion/resnet``.

    Raises:
        InputError: it is no name for a tag.
    """
    if len(name) > MAX_TAG_LENGTH:
        raise InputError(f"the tag '{name[:32]}...' has {len(name)} characters: at most {MAX_TAG_LENGTH} are allowed")
    if not all(_is_segment(segment) for segment in name.split("/")):
        raise InputError(
            f"'{name}' is no name for a tag: expected letters, digits, '.', '_' and '-', in parts separated by '/'"
        )
    return name


def check_tenant(name: str) -> str:
    """``name`` itself.

    Raises:
        InputError: it is no name for a tenant.
    """
    if not _is_segment(name) or len(name) > MAX_TAG_LENGTH:
        raise InputError(f"'{name}' is no name for a tenant: expected letters, digits, '.', '_' and '-'")
    return name


def _is_segment(text: str) -> bool:
    return _SEGMENT.fullmatch(text) is not None and text not in (".", "..")
