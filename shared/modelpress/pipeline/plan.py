"""A plan: a pipeline with every default filled and every input resolved; what the engine runs and `plan` prints."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

Source = str | tuple[str, ...]
"""``inputs.<name>`` or ``<step>.<output>``; several for a port that takes many."""


class PlannedStep(BaseModel):
    """One step. ``inputs`` maps each port to its source; ``params`` are canonical.

    ``when`` are conditions on metrics of earlier steps (``check.top1: ">= 90"``): where one does not hold, the step
    is skipped, and so is what needs it. ``threads`` and ``memory_mb`` are what it asks for; None leaves them to the
    engine. ``alone`` steps share their host with nothing (measurements).
    """

    model_config = ConfigDict(frozen=True)

    id: str
    uses: str
    version: int
    params: dict[str, Any] = Field(default_factory=dict)
    inputs: dict[str, Source] = Field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    gate: dict[str, str] = Field(default_factory=dict)
    when: dict[str, str] = Field(default_factory=dict)
    alone: bool = False
    worker_class: str = ""
    threads: int | None = None
    memory_mb: int | None = None
    timeout_s: float | None = None
    resolved: tuple[str, ...] = ()
    """Ports that the user omitted and the defaults filled."""
    given: tuple[str, ...] = ()
    """Parameters that the user set; the others are the method's defaults."""

    @property
    def service(self) -> str:
        return self.uses.partition("/")[0]

    def reads(self) -> tuple[tuple[str, str], ...]:
        """Each port with its source; a port that takes many stands there once for each."""
        return tuple(
            (p, s) for p, source in self.inputs.items() for s in ((source,) if isinstance(source, str) else source)
        )

    def sources(self) -> tuple[str, ...]:
        """Every source of its inputs."""
        return tuple(source for _, source in self.reads())

    def source(self, port: str) -> str:
        """What ``port`` reads; empty where that is nothing or a list."""
        source = self.inputs.get(port, "")
        return source if isinstance(source, str) else ""

    @property
    def subject(self) -> str:
        """The source of what it works on: its student, model or package; empty where it has none of them."""
        return next(filter(None, map(self.source, ("student", "model", "package"))), "")

    @cached_property
    def needs(self) -> frozenset[str]:
        """Ids of the steps whose outputs or metrics it reads."""
        read = (*self.sources(), *self.when)
        return frozenset(source.partition(".")[0] for source in read if not source.startswith("inputs."))


class Plan(BaseModel):
    """A validated pipeline. ``inputs`` are references as the user gave them (tags or digests), by name."""

    model_config = ConfigDict(frozen=True)

    name: str
    inputs: dict[str, str]
    steps: tuple[PlannedStep, ...]
    outputs: dict[str, str]
    seed: int = 0

    def step(self, step_id: str) -> PlannedStep:
        return self._by_id[step_id]

    def dependents(self, step_id: str) -> tuple[str, ...]:
        """Ids of the steps that need ``step_id``, in file order."""
        return self._dependents.get(step_id, ())

    def place(self, step_id: str) -> int:
        """Where ``step_id`` stands in the file, counted from 0."""
        return self._places[step_id]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {step.id: place for place, step in enumerate(self.steps)}

    @cached_property
    def _by_id(self) -> dict[str, PlannedStep]:
        return {step.id: step for step in self.steps}

    @cached_property
    def _dependents(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        for step in self.steps:
            for need in step.needs:
                found.setdefault(need, []).append(step.id)
        return {need: tuple(ids) for need, ids in found.items()}
