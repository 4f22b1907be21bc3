"""A host on a bus in memory with real children, and what came of the commands that it was given."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from modelpress.artifacts.filesystem import FilesystemStore
from modelpress.bus.memory import MemoryBus, MemoryLog
from modelpress.bus.ports import Record, drain
from modelpress.engine.events import (
    DEAD_LETTERS,
    EVENTS,
    PLACES,
    PROGRESS,
    CancelWork,
    DeadLetter,
    Event,
    PlaceWord,
    StepCommand,
    cancel_message,
    command_message,
    parse_event,
    parse_place_word,
    topics,
)
from modelpress.pipeline.keys import step_key
from modelpress.testing.toys import CATALOGUE
from modelpress.worker.children import Children
from modelpress.worker.host import Host
from modelpress.worker.protocol import StoreAddress

DEADLINE_S = 60.0
POOL = "local"

E = TypeVar("E")


class Workshop:
    """One host below ``root``. Several may share a log, each on a handle of its own."""

    def __init__(
        self, root: Path, children: Children, log: MemoryLog | None = None, partitions: int = 1, **facts: Any
    ) -> None:
        self.root = root
        self.log = log or MemoryLog()
        self.bus = MemoryBus(self.log)
        self.bus.ensure(topics((POOL,), partitions))
        self.tails = {topic: self.bus.tail([topic]) for topic in (EVENTS, PLACES, PROGRESS, DEAD_LETTERS)}
        self.records: dict[str, list[Record]] = {topic: [] for topic in self.tails}
        self.told: list[Event] = []
        self.journal = root / "journal"
        self.release = root / "release"
        address = StoreAddress(root=str(root / "store"), tenant="default", durability="process")
        self.store = FilesystemStore(root / "store")
        facts = {"cores": 2, **facts}
        self.host = Host(
            self.bus, self.store, address, CATALOGUE, children, log_path=self.log_path, tell=self.told.append, **facts
        )

    def log_path(self, run_id: str, step_id: str) -> Path:
        return self.root / f"{run_id}-{step_id}.log"

    def executed(self) -> list[str]:
        """Names in the journal, in order."""
        return self.journal.read_text().splitlines() if self.journal.exists() else []

    def command(self, name: str, method: str = "emit", attempt: int = 1, **facts: Any) -> StepCommand:
        """A command of a toy. What is no field of commands is a parameter."""
        info = CATALOGUE[f"toys/{method}"]
        fields = {k: facts.pop(k) for k in list(facts) if k in StepCommand.model_fields}
        given = {"name": name, "journal": str(self.journal), **facts}
        params = info.params(**{k: v for k, v in given.items() if k in info.params.model_fields})
        about = {"tenant": "default", "run_id": "r", "step_id": name, "attempt": attempt, "seed": 0, "threads": 1}
        command = StepCommand(
            **{**about, "uses": info.name, "version": 1, "params": params.model_dump(), "inputs": {}, **fields}
        )
        return command if not info.pure or command.key else command.model_copy(update={"key": key_of(command)})

    def grant(self, *commands: StepCommand, partition: int = 0) -> None:
        """Put commands on their topic."""
        self.bus.producer().send([command_message(command, POOL, partition) for command in commands])

    def cancel(self, run_id: str, step_id: str = "", attempt: int = 0) -> None:
        self.bus.producer().send([cancel_message(CancelWork(run_id=run_id, step_id=step_id, attempt=attempt))])

    def until(self, condition: Callable[[], object]) -> None:
        """Advance until ``condition`` holds."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not condition():
            now_s = time.monotonic()
            assert now_s < deadline_s, f"waited in vain; events: {self.events()}"
            if not self.host.advance():
                # The journal and other files wake nobody: look at them now and then.
                select.select(self.host.filenos(), [], [], min(0.02, max(0.0, self.host.due_s() - now_s)))

    def do(self, *commands: StepCommand) -> list[Event]:
        """Grant and advance until all have ended; the events that say how, in the commands' order."""
        self.grant(*commands)
        self.until(lambda: all(self.outcome(command) for command in commands))
        return [outcome for command in commands if (outcome := self.outcome(command))]

    def outcome(self, command: StepCommand) -> Event | None:
        ends = ("step-succeeded", "step-failed", "step-interrupted")
        about = (command.run_id, command.step_id, command.attempt)
        found = (e for e in self.events() if e.type in ends and (e.run_id, e.step_id, e.attempt) == about)
        return next(found, None)

    def events(self) -> list[Any]:
        return [parse_event(record.value) for record in self._all(EVENTS)]

    def types(self) -> list[str]:
        return [event.type for event in self.events()]

    def progress(self) -> list[Any]:
        return [parse_event(record.value) for record in self._all(PROGRESS)]

    def words(self, kind: type[E]) -> list[E]:
        """What was said about places, of one kind."""
        words: list[PlaceWord] = [parse_place_word(record.value) for record in self._all(PLACES)]
        return [word for word in words if isinstance(word, kind)]

    def letters(self) -> list[DeadLetter]:
        return [DeadLetter.model_validate_json(record.value) for record in self._all(DEAD_LETTERS)]

    def close(self) -> None:
        self.host.close()
        self.bus.close()

    def _all(self, topic: str) -> list[Record]:
        self.records[topic] += drain(self.tails[topic])
        return self.records[topic]


def key_of(command: StepCommand) -> str:
    """The step's key, as the coordinator puts it into a command."""
    return step_key(
        tenant=command.tenant,
        method=command.uses,
        version=command.version,
        params=command.params,
        inputs=command.inputs,
        seed=command.seed,
        threads=command.threads,
    )
