"""What goes over the bus, as JSON: facts about runs, words about places, commands, cancellation, dead letters.

topic             key           holds
events            run           facts (`Event`), folded by the coordinator
runs              run, run/step the newest state of each (compacted)
places            pool          steps that are ready and workers that are free (`PlaceWord`)
steps.<pool>      run           commands (`StepCommand`), each in its worker's partition
control           run           what must stop (`CancelWork`); every worker sees all
progress          run           `StepProgressed`, apart so that reading runs does not read it
dead-letters      letter        what could not be done or read (compacted)

`StepLogged` goes to no topic: its text lies in the step's log.

Invariant: a fact about a step carries the attempt that it is about. Facts of superseded attempts change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from modelpress.bus.ports import Message, Record, Topic
from modelpress.engine.state import Moment, Name
from modelpress.errors import BusError
from modelpress.pipeline.plan import Plan

EVENTS = "events"
RUNS = "runs"
PLACES = "places"
CONTROL = "control"
PROGRESS = "progress"
DEAD_LETTERS = "dead-letters"

Interruption = Literal["died", "expired", "retryable", "inputs", "released"]
"""Why an attempt ended without a result although another may get one: its process died; its lease ran out; something
that passes; an input must be made again; its worker was asked to stop."""

_NAME: TypeAdapter[str] = TypeAdapter(Name)


def steps_topic(pool: str) -> str:
    return f"steps.{pool}"


def topics(pools: tuple[str, ...], partitions: int = 1) -> tuple[Topic, ...]:
    """Every topic of an engine whose workers serve ``pools``."""
    keyed = (Topic(EVENTS, partitions), Topic(RUNS, partitions, compacted=True), Topic(PLACES, partitions))
    plain = (Topic(CONTROL), Topic(PROGRESS, partitions), Topic(DEAD_LETTERS, compacted=True))
    return (*keyed, *plain, *(Topic(steps_topic(pool), partitions) for pool in pools))


class _Word(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")


class _Fact(_Word):
    """``at_s`` is seconds since the epoch, by the clock of the process that saw it; nothing is decided by it."""

    run_id: Name
    at_s: Moment


class _StepFact(_Fact):
    step_id: Name
    attempt: int


class RunSubmitted(_Fact):
    """``inputs`` are the digests of the plan's references; ``threads`` those of a step that asks for none."""

    type: Literal["run-submitted"] = "run-submitted"
    plan: Plan
    inputs: dict[str, str]
    tenant: str = "default"
    threads: int = 1
    priority: int = 0
    provenance: dict[str, Any] = Field(default_factory=dict)
    resumed_from: str = ""

    @field_validator("plan")
    @classmethod
    def _has_names(cls, plan: Plan) -> Plan:
        for step in plan.steps:
            _NAME.validate_python(step.id)
        return plan


class RunCancelled(_Fact):
    type: Literal["run-cancelled"] = "run-cancelled"


class StepGranted(_StepFact):
    """The step's command is on its topic, in the partition of the worker that has a place for it."""

    type: Literal["step-granted"] = "step-granted"
    partition: int


class StepWaits(_StepFact):
    """The same step runs for another run; ``waits_for`` is that run's ``run/step``."""

    type: Literal["step-waits"] = "step-waits"
    waits_for: str


class StepStarted(_StepFact):
    """A worker claims the attempt. ``worker`` is the process that does, ``facts`` its provenance as loaded."""

    type: Literal["step-started"] = "step-started"
    key: str
    worker: str
    facts: dict[str, Any] = Field(default_factory=dict)


class StepRenewed(_StepFact):
    """The worker is still at it: the attempt's lease begins anew."""

    type: Literal["step-renewed"] = "step-renewed"


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
    """The attempt ended without a result and another may get one.

    ``broken`` are the blobs of inputs, by port, that are missing or corrupt: what made them runs again.
    """

    type: Literal["step-interrupted"] = "step-interrupted"
    why: Interruption
    reason: str
    broken: dict[str, tuple[str, ...]] = Field(default_factory=dict)


class RetryDue(_StepFact):
    """The pause before the attempt is over."""

    type: Literal["retry-due"] = "retry-due"


StepEvent = (
    StepGranted
    | StepWaits
    | StepStarted
    | StepRenewed
    | StepProgressed
    | StepLogged
    | StepSucceeded
    | StepFailed
    | StepInterrupted
    | RetryDue
)
Event = Annotated[RunSubmitted | RunCancelled | StepEvent, Field(discriminator="type")]


class StepCommand(_Word):
    """A step to run: everything but the machine's own facts. ``inputs`` map ports to digests.

    ``key`` is the step's key, empty for a measurement, whose worker knows the target. ``alone`` steps share their
    host with nothing.
    """

    tenant: str
    run_id: Name
    step_id: Name
    attempt: int
    uses: str
    version: int
    params: dict[str, Any]
    inputs: dict[str, str | tuple[str, ...]]
    seed: int
    threads: int
    key: str = ""
    alone: bool = False
    timeout_s: float | None = None
    memory_mb: int | None = None

    @property
    def name(self) -> str:
        """``run/step``."""
        return f"{self.run_id}/{self.step_id}"


class StepReady(_Word):
    """All that a step needs is there. ``order`` is its run's place among the runs, ``priority`` goes before it."""

    type: Literal["step-ready"] = "step-ready"
    pool: str
    priority: int
    order: float
    command: StepCommand


class StepWithdrawn(_Word):
    """A step, or with an empty ``step_id`` every step of the run, is no longer to be granted."""

    type: Literal["step-withdrawn"] = "step-withdrawn"
    pool: str
    run_id: str
    step_id: str = ""


class PlaceOffered(_Word):
    """A worker reads ``partition`` of its pool's topic and can use so many cores. Said again now and then."""

    type: Literal["place-offered"] = "place-offered"
    pool: str
    worker: str
    partition: int
    cores: int


class PlaceWithdrawn(_Word):
    """A worker takes nothing more; what it was granted goes to the partition's next owner."""

    type: Literal["place-withdrawn"] = "place-withdrawn"
    pool: str
    worker: str
    partition: int


class StepLeft(_Word):
    """A worker is done with a command, whatever came of it: its cores are free. ``made``: the key's result is there."""

    type: Literal["step-left"] = "step-left"
    made: bool = False
    pool: str
    partition: int
    run_id: str
    step_id: str
    attempt: int


PlaceWord = Annotated[StepReady | StepWithdrawn | PlaceOffered | PlaceWithdrawn | StepLeft, Field(discriminator="type")]


class CancelWork(_Word):
    """Stop: the run, or, where ``step_id`` is set, that attempt of that step."""

    run_id: str
    step_id: str = ""
    attempt: int = 0

    def means(self, command: StepCommand) -> bool:
        """Whether ``command`` is to stop."""
        one = (self.step_id, self.attempt) == (command.step_id, command.attempt)
        return self.run_id == command.run_id and (not self.step_id or one)


class DeadLetter(_Word):
    """A record that cannot be read (``value``, base64, and where it stood), or a step that failed (``command``)."""

    id: str
    at_s: float
    topic: str
    key: str
    error: str
    partition: int = 0
    offset: int = 0
    value: str = ""
    command: StepCommand | None = None


_EVENT: TypeAdapter[Event] = TypeAdapter(Event)
_PLACE_WORD: TypeAdapter[PlaceWord] = TypeAdapter(PlaceWord)


def event_message(event: Event) -> Message:
    topic = PROGRESS if isinstance(event, StepProgressed) else EVENTS
    return Message(topic, event.run_id, event.model_dump_json().encode())


def place_message(word: PlaceWord) -> Message:
    return Message(PLACES, word.pool, word.model_dump_json().encode())


def command_message(command: StepCommand, pool: str, partition: int) -> Message:
    return Message(steps_topic(pool), command.run_id, command.model_dump_json().encode(), partition)


def cancel_message(cancel: CancelWork) -> Message:
    return Message(CONTROL, cancel.run_id, cancel.model_dump_json().encode())


def dead_letter_message(letter: DeadLetter) -> Message:
    return Message(DEAD_LETTERS, letter.id, letter.model_dump_json().encode())


def parse_event(value: bytes) -> Event:
    """The event that a record of ``events`` or ``progress`` holds.

    Raises:
        BusError: it holds none.
    """
    try:
        return _EVENT.validate_json(value)
    except ValidationError as e:
        raise BusError(f"a record holds no event of this version of modelpress: {e}") from e


def readable(records: Iterable[Record]) -> Iterator[Event]:
    """The events that ``records`` hold; what holds none is passed over, the coordinator makes a dead letter of it."""
    for record in records:
        try:
            yield parse_event(record.value)
        except BusError:
            continue


def parse_place_word(value: bytes) -> PlaceWord:
    """What a record of ``places`` says.

    Raises:
        BusError: nothing.
    """
    try:
        return _PLACE_WORD.validate_json(value)
    except ValidationError as e:
        raise BusError(f"a record holds no word about places of this version of modelpress: {e}") from e


def parse_command(value: bytes) -> StepCommand:
    """The command that a record of a step topic holds.

    Raises:
        BusError: it holds none.
    """
    try:
        return StepCommand.model_validate_json(value)
    except ValidationError as e:
        raise BusError(f"a record holds no command of this version of modelpress: {e}") from e


def parse_cancel(value: bytes) -> CancelWork:
    """What a record of ``control`` asks for.

    Raises:
        BusError: nothing.
    """
    try:
        return CancelWork.model_validate_json(value)
    except ValidationError as e:
        raise BusError(f"a record of control cannot be read by this version of modelpress: {e}") from e
