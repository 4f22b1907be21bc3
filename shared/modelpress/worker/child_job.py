"""The `Job` of a kernel in the child: progress, log and metrics go over the pipe, checkpoints to the store."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from modelpress.artifacts.store import Slots
from modelpress.errors import StepError, nearest
from modelpress.worker.protocol import Log, Progress, Reply

if TYPE_CHECKING:
    from modelpress.job import Checkpoints, Job

PROGRESS_EVERY_S = 0.1
"""Progress that comes faster is thinned; the first and the last of a stage always go out."""


class SlotCheckpoints:
    """The step's slot in the store."""

    def __init__(self, slots: Slots, key: str) -> None:
        self._slots = slots
        self._key = key

    def load(self) -> bytes | None:
        return self._slots.load(self._key)

    def save(self, data: bytes) -> None:
        self._slots.save(self._key, data)


class ChildJob:
    """``metric_names`` are those that the method describes; ``tell`` sends to the parent."""

    def __init__(
        self,
        tell: Callable[[Reply], None],
        checkpoints: Checkpoints,
        metric_names: Collection[str],
        *,
        seed: int,
        threads: int,
    ) -> None:
        self.metrics: dict[str, float] = {}
        self._tell = tell
        self._checkpoints = checkpoints
        self._metric_names = metric_names
        self._seed = seed
        self._threads = threads
        self._stage = ""
        self._told_s = 0.0
        self._ended = False

    @property
    def seed(self) -> int:
        return self._seed

    @property
    def threads(self) -> int:
        return self._threads

    @property
    def checkpoints(self) -> Checkpoints:
        return self._checkpoints

    def progress(self, stage: str, done: float, total: float, **metrics: float) -> None:
        now_s = time.monotonic()
        ends = done >= total
        news = stage != self._stage or (ends and not self._ended)
        if not news and now_s - self._told_s < PROGRESS_EVERY_S:
            return
        self._stage, self._told_s, self._ended = stage, now_s, ends
        figures = {name: float(value) for name, value in metrics.items()}
        self._tell(Progress(stage=stage, done=float(done), total=float(total), metrics=figures))

    def log(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")
        self._tell(Log(text=text))

    def metric(self, name: str, value: float) -> None:
        """As `Job.metric`.

        Raises:
            StepError: the method describes no such metric.
        """
        if name not in self._metric_names:
            raise StepError(f"the kernel reported a metric '{name}' that its description lacks; {self._known(name)}")
        self.metrics[name] = float(value)

    def _known(self, name: str) -> str:
        return nearest(name, self._metric_names)


if TYPE_CHECKING:
    _: type[Job] = ChildJob
