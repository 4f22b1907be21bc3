"""The state of a run, as the fold makes it from events and as every reader (client, CLI, report) sees it."""

from __future__ import annotations

import enum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from modelpress.pipeline.plan import Plan


class RunStatus(enum.StrEnum):
    SUBMITTED = "submitted"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REFUSED = "refused"
    """A gate refused; the outputs stay to be looked at."""
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self not in (RunStatus.SUBMITTED, RunStatus.RUNNING)


class StepStatus(enum.StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    """Never started, because something that it needs did not succeed."""

    @property
    def final(self) -> bool:
        return self not in (StepStatus.WAITING, StepStatus.RUNNING)


class StepState(BaseModel):
    """One step of a run. Times are seconds since the epoch, from the process that saw the event."""

    model_config = ConfigDict(frozen=True)

    id: str
    status: StepStatus = StepStatus.WAITING
    attempt: int = 0
    issued: bool = False
    """The command of this attempt is on its topic, and no event has ended the attempt."""
    key: str = ""
    cached: bool = False
    """The result was there before: nothing was computed in this run."""
    outputs: dict[str, str] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)
    gates: dict[str, bool] = Field(default_factory=dict)
    error: str = ""
    started_s: float = 0.0
    ended_s: float = 0.0


class RunState(BaseModel):
    """A run. ``inputs`` are the digests that the plan's references stood for at submit."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    plan: Plan
    status: RunStatus = RunStatus.SUBMITTED
    inputs: dict[str, str] = Field(default_factory=dict)
    steps: dict[str, StepState] = Field(default_factory=dict)
    outputs: dict[str, str] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)
    """Versions, threads, instruction set, machine: what makes digests comparable."""
    error: str = ""
    resumed_from: str = ""
    submitted_s: float = 0.0
    ended_s: float = 0.0
