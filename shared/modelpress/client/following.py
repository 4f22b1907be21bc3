"""Following a run: driving it or looking on, and its logs while its steps write them."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from modelpress.client.display import Display, SilentDisplay, display
from modelpress.engine.state import RunState, StepStatus
from modelpress.errors import NotFoundError, nearest

if TYPE_CHECKING:
    from modelpress.engine.driver import Engine

CHUNK_BYTES = 1 << 20
UTF8 = codecs.getincrementaldecoder("utf-8")

Write = Callable[[str, str], None]
"""Is told a step's id and what it wrote since, some whole characters."""


def follow(engine: Engine, run_id: str, progress: bool) -> None:
    """Drive the home until the run is final, or look on while another process does; see `Run.wait`."""
    with _shown(engine, run_id, progress, watching=False) as shown:
        try:
            engine.drive(run_id, shown.on_event, shown.on_state, shown.on_wait)
        except KeyboardInterrupt:
            engine.cancel(run_id)
            raise


def watch(engine: Engine, run_id: str, progress: bool) -> None:
    """Look on until the run is final, and drive nothing; see `Run.watch`."""
    with _shown(engine, run_id, progress, watching=True) as shown:
        engine.watch(run_id, shown.on_event, shown.on_state, shown.on_wait)


def _shown(engine: Engine, run_id: str, progress: bool, *, watching: bool) -> Display:
    if not progress:
        return SilentDisplay()
    return display(engine.get(run_id), note=lambda: who_drives(engine, run_id, watching=watching))


def who_drives(engine: Engine, run_id: str, *, watching: bool) -> str:
    """Who drives the home where this process does not; for who only watches the run also that nothing does."""
    driver_pid = engine.driver_pid()
    if driver_pid is None:
        return f"nothing drives this home: modelpress resume {run_id} does" if watching else ""
    return "" if driver_pid == os.getpid() else f"process {driver_pid} drives this home"


def follow_logs(
    engine: Engine, run_id: str, step_id: str | None, write: Write, on_wait: Callable[[], None] = lambda: None
) -> RunState:
    """Tell ``write`` what a step, or every step, wrote so far and writes until the run ends; the run as it ended.

    Raises:
        NotFoundError: there is no such run or step.
    """
    state = engine.get(run_id)
    if step_id is not None and step_id not in state.steps:
        raise NotFoundError(f"run {state.run_id} has no step '{step_id}': {nearest(step_id, state.steps)}")
    tails = LogTails(engine.home.logs_path(state.run_id), [step_id] if step_id else list(state.steps), write)

    def look() -> None:
        tails.look()
        on_wait()

    ended = engine.watch(state.run_id, on_state=tails.become, on_wait=look)
    tails.look()
    return ended


class LogTails:
    """Reads on in the logs of some steps of a run, as they grow."""

    def __init__(self, folder: Path, step_ids: Iterable[str], write: Write) -> None:
        self._tails = {step_id: _Tail(folder / f"{step_id}.log") for step_id in step_ids}
        self._write = write
        self._before: RunState | None = None
        self._writing: set[str] = set()

    def become(self, run: RunState) -> None:
        """Take the run as it is now, and tell what its steps wrote that run or changed."""
        before = self._before.steps if self._before else {}
        self._before = run
        changed = {step_id for step_id in self._tails if run.steps[step_id] is not before.get(step_id)}
        self._writing = {step_id for step_id in self._tails if run.steps[step_id].status is StepStatus.RUNNING}
        self._look(changed | self._writing)

    def look(self) -> None:
        """Tell what those wrote that run."""
        self._look(self._writing)

    def _look(self, step_ids: set[str]) -> None:
        for step_id, tail in self._tails.items():
            if step_id in step_ids:
                for text in tail.read():
                    self._write(step_id, text)


class _Tail:
    """One log, that may not be there yet and that is cut in its middle when it grows too long."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._decoder = UTF8(errors="replace")

    def read(self) -> Iterable[str]:
        """What came since, in pieces; from the end on where the log is shorter than it was."""
        try:
            file = open(self._path, "rb")  # noqa: SIM115 (a log that is not there yet is the only thing excused)
        except FileNotFoundError:
            return
        with file:
            size = file.seek(0, 2)
            if size < self._offset:
                yield f"--- {self._path.name} was cut in its middle\n"
                self._offset = size
                self._decoder.reset()
            file.seek(self._offset)
            while chunk := file.read(CHUNK_BYTES):
                self._offset += len(chunk)
                yield self._decoder.decode(chunk)
