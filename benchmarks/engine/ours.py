"""No-op steps in modelpress, each on the whole path of a training step, in a warm child that has torch imported.

``python -m benchmarks.engine.ours FOLDER DURABILITY``: the folder becomes a home.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.engine import plans
from benchmarks.engine.serve import serve
from modelpress.config.settings import Durability, Settings
from modelpress.engine.driver import Engine
from modelpress.engine.events import Event, StepStarted
from modelpress.engine.home import Home
from modelpress.engine.state import RunStatus
from modelpress.pipeline.plan import Plan
from modelpress.testing.toys import CATALOGUE

REPEATS = 9


class Ours:
    """One engine, warm from the first run on."""

    def __init__(self, folder: Path, durability: Durability) -> None:
        settings = Settings(folder, folder, None, durability, threads=1)
        self.engine = Engine(Home(folder, durability), CATALOGUE, settings)
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
        """Seconds of so many runs of so many steps: submitted at once, then driven."""
        plan = plans.fanout(steps, self._next())
        began = time.perf_counter()
        ids = [self.engine.submit(plan, {}) for _ in range(runs)]
        for run_id in ids:
            assert self.engine.drive(run_id).status is RunStatus.SUCCEEDED
        return [time.perf_counter() - began]

    def reads(self) -> list[float]:
        """Median seconds of listing every run, and of getting the oldest."""
        oldest = self.engine.runs()[-1].run_id
        return [_median_s(self.engine.runs), _median_s(lambda: self.engine.get(oldest))]

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


def _median_s(work: object) -> float:
    assert callable(work)
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return median(seconds)


def main() -> None:
    folder, durability = sys.argv[1:]
    ours = Ours(Path(folder), "power" if durability == "power" else "process")
    with ours.engine:
        asks = (ours.chain, ours.fanout, ours.again, ours.starts, ours.fill, ours.reads)
        serve({ask.__name__: ask for ask in asks})


if __name__ == "__main__":
    main()
