"""The settings, read from the environment here and nowhere else.

MODELPRESS_HOME          where runs and artifacts are kept (default ~/.modelpress)
MODELPRESS_DATA          a folder with datasets that are there already
MODELPRESS_DURABILITY    'process' (default) or 'power': what a finished write survives
MODELPRESS_THREADS       threads of a step (default: the cores that this process may use)
XDG_CACHE_HOME           what can be fetched again lies under it (default ~/.cache)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from modelpress.errors import InputError

Durability = Literal["process", "power"]


@dataclass(frozen=True)
class Settings:
    """What the surroundings decide. ``threads`` is part of every step key, since it changes results' bits."""

    home: Path
    cache: Path
    data: Path | None
    durability: Durability
    threads: int


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings that ``environ`` makes; a variable that is empty counts as not set.

    Raises:
        InputError: a variable has a value that cannot be; names it.
    """
    data = environ.get("MODELPRESS_DATA")
    return Settings(
        home=_folder(environ.get("MODELPRESS_HOME") or "~/.modelpress"),
        cache=_folder(environ.get("XDG_CACHE_HOME") or "~/.cache") / "modelpress",
        data=_folder(data) if data else None,
        durability=_durability(environ.get("MODELPRESS_DURABILITY") or "process"),
        threads=_threads(environ.get("MODELPRESS_THREADS") or str(usable_cores())),
    )


def usable_cores() -> int:
    """Cores that this process may use: what it was pinned to where the system tells, else all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _folder(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _durability(text: str) -> Durability:
    for known in get_args(Durability):
        if text == known:
            return cast(Durability, text)
    raise InputError(f"MODELPRESS_DURABILITY is '{text}': expected 'process' or 'power'")


def _threads(text: str) -> int:
    if text.isascii() and text.isdecimal() and int(text) > 0:
        return int(text)
    raise InputError(f"MODELPRESS_THREADS is '{text}': expected a whole number above 0")
