"""Runs as the compacted topic ``runs`` keeps them: a record a run and a record a step, so that large runs fit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from modelpress.bus.ports import Bus, Message, Record, drain
from modelpress.engine.events import RUNS
from modelpress.engine.state import RunState, StepState
from modelpress.errors import BusError
from modelpress.pipeline.plan import PlannedStep

_Parsed = TypeVar("_Parsed", bound=BaseModel)


class StepRecord(BaseModel):
    """One step: its place in the plan, what was planned, and how it stands."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

    index: int
    planned: PlannedStep
    state: StepState


def run_messages(state: RunState, steps: Iterable[str] | None = None, *, header: bool = True) -> list[Message]:
    """Records of ``state``: its header and ``steps`` (default: all)."""
    records = [
        StepRecord(index=state.plan.place(step_id), planned=state.plan.step(step_id), state=state.steps[step_id])
        for step_id in (state.steps if steps is None else steps)
    ]
    messages = [_message(f"{state.run_id}/{record.state.id}", record.model_dump_json()) for record in records]
    return [*messages, _message(state.run_id, _header(state))] if header else messages


class RunsView:
    """Every run of a log, kept current by reading ``runs``. Records are parsed when their run is asked for.

    A run that cannot be read stands in no other's way: it is told by `unreadable`, and by `get` when it is asked for.
    """

    def __init__(self, bus: Bus) -> None:
        self._tail = bus.tail([RUNS])
        self._files: dict[str, _File] = {}

    def refresh(self) -> None:
        """Read what is new."""
        for record in drain(self._tail):
            self._take(record)

    def get(self, run_id: str) -> RunState | None:
        """The run as it was at the last `refresh`; None where there is none.

        Raises:
            BusError: a record of it is damaged, or another version's.
        """
        file = self._files.get(run_id)
        return file.state() if file else None

    def states(self) -> list[RunState]:
        """Every run that can be read, in the order of submission."""
        states = (file.state() for file in self._files.values() if not file.fault)
        return sorted((s for s in states if s is not None), key=lambda s: (s.submitted_s, s.run_id))

    def unfinished(self) -> list[RunState]:
        """The runs that are not final, as far as they can be read."""
        found = []
        for file in self._files.values():
            with contextlib.suppress(BusError):  # told by `unreadable`
                state = file.state() if file.unfinished else None
                found += [state] if state is not None else []
        return found

    def unreadable(self) -> dict[str, str]:
        """Runs that cannot be read, and why."""
        return {run_id: file.fault for run_id, file in self._files.items() if file.fault}

    def removal(self, run_id: str) -> list[Message]:
        """What takes a run out of the topic."""
        return [Message(RUNS, key, b"") for key in self._files[run_id].keys]

    def fileno(self) -> int:
        """As `Reader.fileno`."""
        return self._tail.fileno()

    def close(self) -> None:
        self._tail.close()

    def _take(self, record: Record) -> None:
        run_id, _, step_id = record.key.partition("/")
        file = self._files.setdefault(run_id, _File(run_id))
        file.take(step_id, record.value)
        if file.empty:
            del self._files[run_id]


class _File:
    """The records of one run; parsed and put together when asked for."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._header: bytes | RunState = b""
        self._steps: dict[str, bytes | StepRecord] = {}
        self._whole: RunState | None = None

    @property
    def empty(self) -> bool:
        return not self._header and not self._steps

    @property
    def keys(self) -> list[str]:
        """Of its records."""
        return [*(f"{self._run_id}/{step_id}" for step_id in self._steps), self._run_id]

    @property
    def unfinished(self) -> bool:
        header = self._parsed_header()
        return header is not None and not header.status.final

    @property
    def fault(self) -> str:
        """Why the run cannot be read; empty where it can."""
        try:
            self.state()
        except BusError as e:
            return str(e)
        return ""

    def take(self, step_id: str, value: bytes) -> None:
        self._whole = None
        if not step_id:
            self._header = value
        elif value:
            self._steps[step_id] = value
        else:
            self._steps.pop(step_id, None)

    def state(self) -> RunState | None:
        """The run; None while its header was not read."""
        header = self._parsed_header()
        if self._whole is None and header is not None:
            records = sorted(self._parsed_steps(), key=lambda record: record.index)
            plan = header.plan.model_copy(update={"steps": tuple(record.planned for record in records)})
            steps = {record.state.id: record.state for record in records}
            open_steps = sum(not step.status.final for step in steps.values())
            self._whole = header.model_copy(update={"plan": plan, "steps": steps, "open_steps": open_steps})
        return self._whole

    def _parsed_header(self) -> RunState | None:
        if isinstance(self._header, bytes) and self._header:
            self._header = self._parsed(RunState, self._header)
        return self._header or None

    def _parsed_steps(self) -> list[StepRecord]:
        for step_id, record in self._steps.items():
            if isinstance(record, bytes):
                self._steps[step_id] = self._parsed(StepRecord, record)
        return [record for record in self._steps.values() if isinstance(record, StepRecord)]

    def _parsed(self, model: type[_Parsed], value: bytes) -> _Parsed:
        try:
            return model.model_validate_json(value)
        except ValidationError as e:
            where, why = ".".join(map(str, e.errors()[0]["loc"])), e.errors()[0]["msg"]
            raise BusError(
                f"the record of run {self._run_id} cannot be read by this version of modelpress ({where}: {why}): "
                f"another version wrote it, or it was damaged; `modelpress rm {self._run_id}` forgets the run"
            ) from e


def _header(state: RunState) -> str:
    plan = state.plan.model_copy(update={"steps": ()})
    return state.model_copy(update={"plan": plan, "steps": {}}).model_dump_json()


def _message(key: str, value: str) -> Message:
    return Message(RUNS, key, value.encode())
