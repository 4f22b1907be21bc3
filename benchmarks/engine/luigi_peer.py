"""No-op tasks in Luigi with its local scheduler, each with a file as its target.

``python -m benchmarks.engine.luigi_peer FOLDER DURABILITY``: with ``power`` file and folder are flushed to the device,
which Luigi leaves to its users. A task runs in this process.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import luigi

from benchmarks.engine.serve import serve


class Report(luigi.Task):  # type: ignore[misc]  # Luigi has no types here
    """Writes a small file, needing the one before it in a chain."""

    folder: Any = luigi.Parameter()
    index: Any = luigi.IntParameter()
    chained: Any = luigi.BoolParameter()
    sync: Any = luigi.BoolParameter()

    def requires(self) -> list[Report]:
        return [self.clone(index=self.index - 1)] if self.chained and self.index else []

    def output(self) -> Any:
        return luigi.LocalTarget(f"{self.folder}/{self.index}.json")

    def run(self) -> None:
        target = Path(self.output().path)
        temporary = target.with_suffix(".tmp")
        with open(temporary, "w") as file:
            file.write(f'{{"name": "step-{self.index}", "value": {self.index}}}')
            file.flush()
            if self.sync:
                os.fsync(file.fileno())
        temporary.replace(target)
        if self.sync:
            _sync_folder(target.parent)


def main() -> None:
    root, sync = Path(sys.argv[1]), sys.argv[2] == "power"
    serve(
        {
            "chain": lambda steps: _build(root, sync, chained=True, indices=[steps - 1]),
            "fanout": lambda steps: _build(root, sync, chained=False, indices=list(range(steps))),
        }
    )


def _build(root: Path, sync: bool, *, chained: bool, indices: list[int]) -> list[float]:
    folder = root / f"{time.monotonic_ns()}"
    folder.mkdir()
    tasks = [Report(folder=str(folder), index=index, chained=chained, sync=sync) for index in indices]
    began = time.perf_counter()
    assert luigi.build(tasks, local_scheduler=True, log_level="ERROR")
    seconds = time.perf_counter() - began
    assert (folder / f"{indices[-1]}.json").exists()
    return [seconds]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


if __name__ == "__main__":
    main()
