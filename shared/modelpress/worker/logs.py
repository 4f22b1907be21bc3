"""A step's log: the child writes to it directly, the parent adds a line now and then and keeps its size in bounds."""

from __future__ import annotations

import os
from pathlib import Path

from modelpress.artifacts.files import explaining

MAX_LOG_BYTES = 16 * 1024**2
KEPT_BYTES = 1024**2
"""Of the beginning and of the end of a log that grew too large."""
_WORDS_BYTES = 4096
_WORDS_LENGTH = 300


class StepLog:
    """The log of one attempt, at the end of what earlier attempts wrote to ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begun_bytes = _size_bytes(path)
        self._dropped_bytes = 0

    def note(self, text: str) -> None:
        """A line of the parent's own.

        Raises:
            StoreError: no space is left, or the log cannot be written.
        """
        with explaining(self.path), open(self.path, "a", encoding="utf-8") as log:
            log.write(f"{text}\n")

    def last_words(self) -> str:
        """The last line of this attempt; empty where it wrote none."""
        return last_words(self.path, self._begun_bytes)

    def limit(self) -> None:
        """Keep the first and the last part of a log above `MAX_LOG_BYTES`, with a line about what lay between.

        The child goes on writing: its handle appends, so its next line follows.

        Raises:
            StoreError: no space is left, or the log cannot be written.
        """
        size_bytes = _size_bytes(self.path)
        if size_bytes <= MAX_LOG_BYTES:
            return
        self._dropped_bytes += size_bytes - 2 * KEPT_BYTES
        note = f"\n[... {self._dropped_bytes / 1e6:.1f} MB of this log were dropped here ...]\n"
        with explaining(self.path), open(self.path, "r+b") as log:
            log.seek(-KEPT_BYTES, os.SEEK_END)
            end = log.read()
            log.truncate(KEPT_BYTES)
        with explaining(self.path), open(self.path, "ab") as log:
            log.write(note.encode() + end)


def last_words(path: Path, since_bytes: int = 0) -> str:
    """The last line that is not empty of what a log holds beyond ``since_bytes``, shortened to 300 characters."""
    size_bytes = _size_bytes(path)
    if since_bytes >= size_bytes:
        return ""
    with open(path, "rb") as log:
        log.seek(max(since_bytes, size_bytes - _WORDS_BYTES))
        lines = log.read().decode(errors="replace").splitlines()
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return last[-_WORDS_LENGTH:]


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
