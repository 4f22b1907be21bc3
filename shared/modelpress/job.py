"""What a kernel is given beside its inputs: seed, threads, progress, log, metrics, checkpoints.

A kernel knows nothing of stores, buses or processes; it talks to a `Job`. The worker's child gives one that speaks
over a pipe, tests and scripts give a `LocalJob`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


class Checkpoints(Protocol):
    """One overwritable slot for the unfinished work of this very step (same key), gone once the step is accepted."""

    def load(self) -> bytes | None:
        """The bytes saved last, or None."""

    def save(self, data: bytes) -> None:
        """Replace the slot atomically."""


class Job(Protocol):
    """The kernel's view of the step that it runs in."""

    @property
    def seed(self) -> int: ...
    @property
    def threads(self) -> int: ...
    @property
    def checkpoints(self) -> Checkpoints: ...

    def progress(self, stage: str, done: float, total: float, **metrics: float) -> None:
        """``done`` of ``total`` units of ``stage`` (for training: epochs) are behind us; metrics as they stand."""

    def log(self, text: str) -> None:
        """One line for the step's log."""

    def metric(self, name: str, value: float) -> None:
        """A final figure of the step; gates read these, so the name must be one of the method's ``metrics``."""


class MemoryCheckpoints:
    """A slot in memory."""

    def __init__(self) -> None:
        self.data: bytes | None = None

    def load(self) -> bytes | None:
        return self.data

    def save(self, data: bytes) -> None:
        self.data = data


@dataclass
class LocalJob:
    """A job for scripts and tests: keeps what it is told."""

    seed: int = 0
    threads: int = 2
    checkpoints: Checkpoints = field(default_factory=MemoryCheckpoints)
    metrics: dict[str, float] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    events: list[tuple[str, float, float, dict[str, float]]] = field(default_factory=list)

    def progress(self, stage: str, done: float, total: float, **metrics: float) -> None:
        self.events.append((stage, done, total, metrics))

    def log(self, text: str) -> None:
        self.lines.append(text)

    def metric(self, name: str, value: float) -> None:
        self.metrics[name] = float(value)
