"""Facts (topic ``events``, keyed by run) and commands (topic ``steps.<service>``), as JSON on the bus.

`StepProgressed` goes to the topic ``progress``, so that reading runs does not read it; `StepLogged` goes to no topic:
its text lies in the step's log.

Invariant: a fact about a step carries the attempt that it is about. Facts of superseded attempts change nothing.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from modelpress.bus.ports import Message
from modelpress.engine.state import RunStatus
from modelpress.errors import BusError
from modelpress.pipeline.plan import Plan

EVENTS = "events"
PROGRESS = "progress"


def steps_topic(service: str) -> str:
    return f"steps.{service}"


class _Fact(BaseModel):
    """``at_s`` is seconds since the epoch, by the clock of the process that saw it."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

    run_id: str
    at_s: float


class _StepFact(_Fact):
    step_id: str
    attempt: int


class RunSubmitted(_Fact):
    """``inputs`` are the digests that the plan's references stood for."""

    type: Literal["run-submitted"] = "run-submitted"
    plan: Plan
    inputs: dict[str, str]
    provenance: dict[str, Any] = Field(default_factory=dict)
    resumed_from: str = ""


class StepIssued(_StepFact):
    """The step's command is on its topic."""

    type: Literal["step-issued"] = "step-issued"


class StepStarted(_StepFact):
    """A worker computes the step; ``worker`` is its provenance (instruction set, versions as loaded)."""

    type: Literal["step-started"] = "step-started"
    key: str
    worker: dict[str, Any] = Field(default_factory=dict)


class StepProgressed(_StepFact):
    """``done`` of ``total`` units of ``stage`` are behind us."""

    type: Literal["step-progressed"] = "step-progressed"
    stage: str
    done: float
    total: float
    metrics: dict[str, float] = Field(default_factory=dict)


class StepLogged(_StepFact):
    """One line of the step's log."""

    type: Literal["step-logged"] = "step-logged"
    text: str


class StepSucceeded(_StepFact):
    """The accepted result: what ``results/<key>`` holds, whoever wrote it."""

    type: Literal["step-succeeded"] = "step-succeeded"
    key: str
    outputs: dict[str, str]
    metrics: dict[str, float] = Field(default_factory=dict)
    cached: bool = False


class StepFailed(_StepFact):
    """Trying again cannot help."""

    type: Literal["step-failed"] = "step-failed"
    error: str


class StepInterrupted(_StepFact):
    """The attempt ended without a result and another may get one: its process died, or an input must be remade."""

    type: Literal["step-interrupted"] = "step-interrupted"
    reason: str


class StepInvalidated(_StepFact):
    """A blob of the step's accepted result is missing or corrupt: the result was discarded, the step runs again."""

    type: Literal["step-invalidated"] = "step-invalidated"
    blob: str


class RunCancelled(_Fact):
    type: Literal["run-cancelled"] = "run-cancelled"


class RunEnded(_Fact):
    """Nothing runs any more and nothing will: ``status`` is final."""

    type: Literal["run-ended"] = "run-ended"
    status: RunStatus
    error: str = ""


Event = Annotated[
    RunSubmitted
    | StepIssued
    | StepStarted
    | StepProgressed
    | StepLogged
    | StepSucceeded
    | StepFailed
    | StepInterrupted
    | StepInvalidated
    | RunCancelled
    | RunEnded,
    Field(discriminator="type"),
]
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


class StepCommand(BaseModel):
    """A step to run: everything but the machine's own facts. ``inputs`` map ports to digests."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    step_id: str
    attempt: int
    uses: str
    version: int
    params: dict[str, Any]
    inputs: dict[str, str]
    seed: int

    @property
    def service(self) -> str:
        return self.uses.partition("/")[0]


def event_message(event: Event) -> Message:
    topic = PROGRESS if isinstance(event, StepProgressed) else EVENTS
    return Message(topic, event.run_id, event.model_dump_json().encode())


def parse_event(value: bytes) -> Event:
    """The event that a record of ``events`` or ``progress`` holds.

    Raises:
        BusError: it holds none.
    """
    try:
        return _EVENT.validate_json(value)
    except ValidationError as e:
        raise BusError(f"a record holds no event of this version of modelpress: {e}") from e


def command_message(command: StepCommand) -> Message:
    return Message(steps_topic(command.service), command.run_id, command.model_dump_json().encode())


def parse_command(value: bytes) -> StepCommand:
    """The command that a record of a step topic holds.

    Raises:
        BusError: it holds none.
    """
    try:
        return StepCommand.model_validate_json(value)
    except ValidationError as e:
        raise BusError(f"a record holds no command of this version of modelpress: {e}") from e
