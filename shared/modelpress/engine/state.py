"""The state of a run, as the fold makes it from events and as every reader (client, CLI, report) sees it."""

from __future__ import annotations

import enum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from modelpress.pipeline.plan import Plan

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,199}$")]
"""Of a run or a step. Wherever it was read, it can be the name of a file, and lies in the folder that it is put in."""
Moment = Annotated[float, Field(ge=0, lt=1e11)]
"""Seconds since the epoch, of a year that a calendar has; NaN is none."""


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
    """For what it needs, or for a pause between attempts to end."""
    READY = "ready"
    """For a place, or for another run that makes the same."""
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    """Not run: its condition did not hold, or something that it needs has no result."""

    @property
    def final(self) -> bool:
        return self not in (StepStatus.WAITING, StepStatus.READY, StepStatus.RUNNING)


class StepState(BaseModel):
    """One step of a run. Times are seconds since the epoch, from the process that saw the event."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

    id: Name
    status: StepStatus = StepStatus.WAITING
    attempt: int = 0
    """The attempt that counts: the running one, the next, or the last."""
    partition: int | None = None
    """Where the command of this attempt is; None before a place was granted."""
    worker: str = ""
    """The process that has claimed this attempt."""
    deaths: int = 0
    """Workers that this step's attempts have lost."""
    retries: int = 0
    """Attempts that ended for a reason that passes."""
    backoff_s: float = 0.0
    """How long this attempt waits before it may start; 0 once it may."""
    waits_for: str = ""
    """``run/step`` that makes the same, while this one waits for it."""
    key: str = ""
    cached: bool = False
    """The result was there before: nothing was computed in this run."""
    outputs: dict[str, str] = Field(default_factory=dict)
    """Of a step that is made again because its result was lost: the lost ones, until it succeeds."""
    metrics: dict[str, float] = Field(default_factory=dict)
    gates: dict[str, bool] = Field(default_factory=dict)
    error: str = ""
    """Why it failed, was refused or skipped; while it waits, what ended the attempt before."""
    started_s: Moment = 0.0
    ended_s: Moment = 0.0


class RunState(BaseModel):
    """A run. ``inputs`` are the digests that the plan's references stood for at submit."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

    run_id: Name
    plan: Plan
    tenant: str = "default"
    threads: int = 1
    """Of a step that asks for none."""
    priority: int = 0
    status: RunStatus = RunStatus.SUBMITTED
    inputs: dict[str, str] = Field(default_factory=dict)
    steps: dict[str, StepState] = Field(default_factory=dict)
    outputs: dict[str, str] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)
    """Versions, threads, instruction set, machine: what makes digests comparable."""
    error: str = ""
    open_steps: int = 0
    """Steps that are not final."""
    ending: bool = False
    """A step failed or was refused: nothing more starts, what runs may end."""
    resumed_from: str = ""
    submitted_s: Moment = 0.0
    ended_s: Moment = 0.0
