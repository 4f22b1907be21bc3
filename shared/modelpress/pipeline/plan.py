"""A plan: a pipeline with every default filled and every input resolved; what the engine runs and `plan` prints."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class PlannedStep(BaseModel):
    """One step. ``inputs`` maps each port to ``inputs.<name>`` or ``<step>.<output>``; ``params`` are canonical."""

    model_config = ConfigDict(frozen=True)

    id: str
    uses: str
    version: int
    params: dict[str, Any] = Field(default_factory=dict)
    inputs: dict[str, str] = Field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    gate: dict[str, str] = Field(default_factory=dict)
    resolved: tuple[str, ...] = ()
    """Ports that the user omitted and the defaults filled."""
    given: tuple[str, ...] = ()
    """Parameters that the user set; the others are the method's defaults."""

    @property
    def service(self) -> str:
        return self.uses.partition("/")[0]

    def needs(self) -> set[str]:
        """Ids of the steps whose outputs it reads."""
        return {source.partition(".")[0] for source in self.inputs.values() if not source.startswith("inputs.")}


class Plan(BaseModel):
    """A validated pipeline. ``inputs`` are references as the user gave them (tags or digests), by name."""

    model_config = ConfigDict(frozen=True)

    name: str
    inputs: dict[str, str]
    steps: tuple[PlannedStep, ...]
    outputs: dict[str, str]
    seed: int = 0

    def step(self, step_id: str) -> PlannedStep:
        return next(s for s in self.steps if s.id == step_id)
