"""One command on its way through a host."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from modelpress.bus.ports import Record
from modelpress.catalogue import MethodInfo
from modelpress.engine.events import StepCommand, StepProgressed
from modelpress.worker.logs import StepLog
from modelpress.worker.process import ChildProcess
from modelpress.worker.protocol import StepRequest, StoreAddress

PUBLISH_EVERY_S = 1.0


class ProgressThinner:
    """Lets through the first and the last word of every stage, and one a second of the others."""

    def __init__(self) -> None:
        self._held: StepProgressed | None = None
        self._stage: str | None = None
        self._told_s = -math.inf
        self._ended = False

    def tell(self, word: StepProgressed, now_s: float) -> list[StepProgressed]:
        """What goes out now."""
        ends = word.done >= word.total
        news = word.stage != self._stage or (ends and not self._ended)
        if not news and now_s - self._told_s < PUBLISH_EVERY_S:
            self._held = word
            return []
        out = [*(self.rest() if word.stage != self._stage else ()), word]
        self._held, self._stage, self._told_s, self._ended = None, word.stage, now_s, ends
        return out

    def rest(self) -> list[StepProgressed]:
        """The last word, where it has not gone out."""
        held, self._held = self._held, None
        return [held] if held is not None else []


@dataclass(eq=False)
class Attempt:
    """``child`` is set while it runs; times are monotonic. ``cores`` are those that it needs."""

    command: StepCommand
    record: Record
    info: MethodInfo
    key: str
    cores: int
    log: StepLog
    read_s: float
    renewed_s: float
    child: ChildProcess | None = None
    started_s: float = math.inf
    active_s: float = math.inf
    """When it was last seen to use the processor."""
    cpu_s: float = 0.0
    progress: ProgressThinner = field(default_factory=ProgressThinner)

    @property
    def overdue_s(self) -> float:
        """When its time is up; infinite while it waits, or where it has as long as it likes."""
        timeout_s = self.command.timeout_s
        return math.inf if timeout_s is None else self.started_s + timeout_s

    def rss_bytes(self) -> int:
        """Resident memory of what does it."""
        return self.child.rss_bytes() if self.child else 0

    def look(self, now_s: float) -> None:
        """See whether it has used the processor since."""
        cpu_s = self.child.cpu_s() if self.child else 0.0
        if cpu_s > self.cpu_s:
            self.cpu_s, self.active_s = cpu_s, now_s

    def request(self, store: StoreAddress) -> StepRequest:
        command, info = self.command, self.info
        return StepRequest(
            store=store,
            key=self.key,
            run=info.run,
            params_type=f"{info.params.__module__}:{info.params.__qualname__}",
            params=command.params,
            inputs=command.inputs,
            outputs=dict(info.outputs),
            metrics=tuple(info.metrics),
            seed=command.seed,
            threads=command.threads,
            log_path=str(self.log.path),
        )
