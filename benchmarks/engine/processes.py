"""Processes of this machine, as ``/proc`` tells of them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

POLL_S = 0.002


def children_of(pid: int) -> list[int]:
    """The living children of a process."""
    return sorted(int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and _parent(p) == pid)


def is_alive(pid: int) -> bool:
    """Whether a process has not ended; one that nobody collects has."""
    return _parent(Path(f"/proc/{pid}")) is not None


def kill(pids: Iterable[int]) -> None:
    """SIGKILL, at once one after the other; who is gone already is passed over."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wait_for(condition: Callable[[], bool], until_s: float) -> bool:
    """Whether ``condition`` came true before ``time.monotonic()`` reached ``until_s``."""
    while not condition():
        if time.monotonic() > until_s:
            return False
        time.sleep(POLL_S)
    return True


def _parent(process: Path) -> int | None:
    """Its parent's id; None when it is gone or a zombie."""
    try:
        state, parent = (process / "stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state == "Z" else int(parent)
