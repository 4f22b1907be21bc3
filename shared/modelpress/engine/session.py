"""A session of driving: coordinator and worker side by side in one thread, which sleeps while neither has work."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Protocol

MAX_SLEEP_S = 0.5
"""A session looks around that often, whatever it waits for."""


class Part(Protocol):
    """What takes turns in a session."""

    def advance(self) -> bool:
        """Do what can be done without waiting; True when there was anything."""

    def filenos(self) -> list[int]:
        """Descriptors that become readable when there may be something to do."""

    def due_s(self) -> float:
        """By when, on the monotonic clock, it must be called again."""


class Interrupt:
    """A part that Ctrl-C sets, so that no other part is left in the middle of something."""

    def __init__(self) -> None:
        self.set = False
        self._read, self._write = socket.socketpair()

    def advance(self) -> bool:
        return False

    def filenos(self) -> list[int]:
        return [] if self.set else [self._read.fileno()]

    def due_s(self) -> float:
        return float("inf")

    def take(self, number: int, frame: FrameType | None) -> None:
        """The signal's handler. The first asks for an end; a second one means now."""
        if self.set:
            raise KeyboardInterrupt
        self.set = True
        self._write.send(b"!")

    def close(self) -> None:
        self._read.close()
        self._write.close()


@contextlib.contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Ctrl-C as an `Interrupt` within the block, where it is Python's own KeyboardInterrupt otherwise.

    In other threads, and where the program has a handler of its own, signals are left as they are.
    """
    with contextlib.closing(Interrupt()) as interrupt:
        main = threading.current_thread() is threading.main_thread()
        if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield interrupt
            return
        signal.signal(signal.SIGINT, interrupt.take)
        try:
            yield interrupt
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)


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
