"""No-op steps in modelpress, each on the whole path of a training step, in a warm child that has torch imported.

``python -m benchmarks.engine.ours FOLDER DURABILITY``: the folder becomes a home.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from benchmarks.engine import plans
from benchmarks.engine.serve import serve
from modelpress.config.settings import Durability, Settings
from modelpress.engine.driver import WARM, Engine
from modelpress.engine.events import Event, StepStarted
from modelpress.engine.home import Home
from modelpress.engine.state import RunStatus
from modelpress.pipeline.plan import Plan
from modelpress.testing.toys import CATALOGUE

REPEATS = 9


class Ours:
    """One engine, warm from the first run on."""

    def __init__(self, folder: Path, durability: Durability) -> None:
        self._folder = folder
        self.engine = _engine(folder, durability)
        self._series = 0
        self._last: Plan | None = None

    def chain(self, steps: int) -> list[float]:
        """Seconds from submit to the run's end."""
        return [self._run_s(plans.chain(steps, self._next()))]

    def fanout(self, steps: int) -> list[float]:
        """Seconds from submit to the run's end."""
        return [self._run_s(plans.fanout(steps, self._next()))]

    def again(self) -> list[float]:
        """Seconds of the last plan once more, every step in the cache."""
        assert self._last is not None
        return [self._run_s(self._last)]

    def starts(self, submits: int) -> list[float]:
        """Seconds from each submit to its step's start."""
        return [self._start_s() for _ in range(submits)]

    def fill(self, runs: int, steps: int) -> list[float]:
        """Seconds of so many runs of so many steps: submitted one after the other, then driven together."""
        began = time.perf_counter()
        ids = [self.engine.submit(plans.fanout(steps, self._next()), {}) for _ in range(runs)]
        for run_id in reversed(ids):
            assert self.engine.drive(run_id).status is RunStatus.SUCCEEDED
        return [time.perf_counter() - began]

    def reads(self) -> list[float]:
        """Median seconds of listing every run and of getting the oldest: by an engine just opened, then by this one."""
        oldest = self.engine.runs()[-1].run_id
        news = [_new_reads_s(self._folder, oldest) for _ in range(REPEATS)]
        again = (_median_s(self.engine.runs), _median_s(lambda: self.engine.get(oldest)))
        return [*(median(seconds) for seconds in zip(*news, strict=True)), *again]

    def _next(self) -> str:
        self._series += 1
        return f"series-{self._series}"

    def _run_s(self, plan: Plan) -> float:
        self._last = plan
        began = time.perf_counter()
        state = self.engine.drive(self.engine.submit(plan, {}))
        seconds = time.perf_counter() - began
        assert state.status is RunStatus.SUCCEEDED, state.error
        return seconds

    def _start_s(self) -> float:
        plan = plans.chain(1, self._next())
        started: list[float] = []

        def watch(event: Event) -> None:
            if isinstance(event, StepStarted):
                started.append(time.perf_counter())

        began = time.perf_counter()
        self.engine.drive(self.engine.submit(plan, {}), watch)
        return started[0] - began


def _new_reads_s(folder: Path, run_id: str) -> tuple[float, float]:
    """Seconds from opening an engine on a home to its list of runs, and to one run."""
    return _opened_s(folder, lambda engine: engine.runs()), _opened_s(folder, lambda engine: engine.get(run_id))


def _opened_s(folder: Path, read: Callable[[Engine], object]) -> float:
    began = time.perf_counter()
    with _engine(folder, "process", warm=()) as engine:
        read(engine)
        return time.perf_counter() - began


def _engine(folder: Path, durability: Durability, warm: Sequence[str] = WARM) -> Engine:
    settings = Settings(folder, folder, None, durability, threads=1)
    return Engine(Home(folder, durability), CATALOGUE, settings, warm=warm)


def _median_s(work: Callable[[], object]) -> float:
    return median(_seconds(work) for _ in range(REPEATS))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    folder, durability = sys.argv[1:]
    ours = Ours(Path(folder), "power" if durability == "power" else "process")
    with ours.engine:
        asks = (ours.chain, ours.fanout, ours.again, ours.starts, ours.fill, ours.reads)
        serve({ask.__name__: ask for ask in asks})


if __name__ == "__main__":
    main()
