"""A session of driving: coordinator and worker side by side in one thread, which sleeps while neither has work."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Protocol

MAX_SLEEP_S = 1.0
"""A session looks around that often, whatever it waits for."""


class Part(Protocol):
    """What takes turns in a session."""

    def advance(self) -> bool:
        """Do what can be done without waiting; True when there was anything."""

    def filenos(self) -> list[int]:
        """Descriptors that become readable when there may be something to do."""

    def due_s(self) -> float:
        """By when, on the monotonic clock, it must be called again."""


def drive(parts: list[Part], done: Callable[[], bool]) -> None:
    """Give every part its turns until ``done``."""
    while True:
        busy = [part.advance() for part in parts]
        if done():
            return
        if not any(busy):
            _sleep(parts)


def _sleep(parts: list[Part]) -> None:
    filenos = [fileno for part in parts for fileno in part.filenos()]
    due_s = min(part.due_s() for part in parts) - time.monotonic()
    select.select(filenos, [], [], max(0.0, min(MAX_SLEEP_S, due_s)))
