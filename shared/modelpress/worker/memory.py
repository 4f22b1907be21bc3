"""How much memory this machine, or its control group, lets us have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

_MEMBERSHIP = Path("/proc/self/cgroup")
_ROOT = Path("/sys/fs/cgroup")


def available_bytes() -> int:
    """Memory that this process and its children may use: the machine's, or less where a control group limits it."""
    return min((int(psutil.virtual_memory().total), *_limits_bytes()))


def _limits_bytes() -> Iterator[int]:
    """The limits of our control group and of those around it (cgroup v2, then v1)."""
    for folder in _groups():
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _text(folder / name).strip()
            if text.isdecimal():
                yield int(text)


def _groups() -> Iterator[Path]:
    for line in _text(_MEMBERSHIP).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            group = _ROOT / controllers / path.lstrip("/")
            yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(_ROOT))


def _text(path: Path) -> str:
    """Empty where the system has no such file, or shows it to others only."""
    try:
        return path.read_text()
    except OSError:
        return ""
