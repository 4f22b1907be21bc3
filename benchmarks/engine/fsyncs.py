"""What durability costs on this machine: the time of an fsync, and how many a program makes."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.engine.contestant import Contestant

Command = Callable[[Path], Sequence[str]]
"""How to start a program, given the folder that it may use."""

BYTES = 200
_CALL = re.compile(r"^\d+\s+f(?:data)?sync\(", re.MULTILINE)


def fsync_ms(folder: Path, repeats: int) -> tuple[float, ...]:
    """Milliseconds of appending 200 bytes to a file and waiting until the device has them, sorted."""
    with open(folder / "fsync", "wb", buffering=0) as file:
        return tuple(sorted(_append_ms(file.fileno()) for _ in range(repeats)))


def _append_ms(handle: int) -> float:
    began = time.perf_counter()
    os.write(handle, b"\0" * BYTES)
    os.fsync(handle)
    return (time.perf_counter() - began) * 1e3


def fsyncs_per_step(command: Command, folder: Path, steps: int) -> float:
    """How many a program makes for a step of a chain: those of a long chain less those of a short one.

    Raises:
        FileNotFoundError: strace is not installed.
    """
    if shutil.which("strace") is None:
        raise FileNotFoundError("strace is not installed: apt-get install strace; fsyncs are counted with it")
    short, long = (_count(command, folder / f"chain-{length}", length) for length in (steps, 2 * steps))
    return (long - short) / steps


def _count(command: Command, folder: Path, steps: int) -> int:
    folder.mkdir()
    trace = folder / "strace"
    traced = ("strace", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-o", str(trace), *command(folder))
    with Contestant(traced, folder) as contestant:
        contestant.ask("chain", steps=steps)
    return len(_CALL.findall(trace.read_text()))
