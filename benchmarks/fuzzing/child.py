"""One process that feeds changed files to a parser until its time is up: ``python -m benchmarks.fuzzing.child``.

It writes what it is about to read before it reads it, so that whoever started it has the input that killed it; a
read of more than five seconds ends the process (exit status 1). At the end it prints what it saw as JSON.
"""

from __future__ import annotations

import faulthandler
import json
import resource
import sys
import time
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

from benchmarks.fuzzing.mutations import mutated
from benchmarks.fuzzing.parsers import ARCHIVE, Files, accepts, read_archive, read_files
from benchmarks.harness import peak_mb

HANG_S = 5.0
GROWTH_BYTES = 4 * 2**30


@dataclass
class Seen:
    """``baseline_mb`` is the process's peak after it read the unchanged files, ``peak_mb`` at the end."""

    executions: int = 0
    accepted: int = 0
    crashes: list[str] = field(default_factory=list)
    baseline_mb: float = 0.0
    peak_mb: float = 0.0


def fuzz(seeds: list[Files], parser: str, seconds: float, seed: int, work: Path) -> Seen:
    """Feed changed files to ``parser``; ``work/current`` is what it reads, ``work/crash-*`` what it did not survive."""
    random, seen = Random(seed), Seen()
    read = read_archive if parser == ARCHIVE else read_files
    for files in seeds:
        if not accepts(read, files):
            raise SystemExit("an unchanged file is refused")
    seen.baseline_mb = peak_mb()
    _limit_memory()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        files = mutated(random.choice(seeds), random.choice(seeds), parser, random)
        keep(files, work / "current")
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        try:
            seen.accepted += accepts(read, files)
        except Exception as e:
            seen.crashes.append(f"{type(e).__name__}: {str(e)[:300]}")
            keep(files, work / f"crash-{seed}-{len(seen.crashes)}")
        finally:
            faulthandler.cancel_dump_traceback_later()
        seen.executions += 1
    seen.peak_mb = peak_mb()
    return seen


def keep(files: Files, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def read_folder(folder: Path) -> Files:
    """The files of one model."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def _limit_memory() -> None:
    """What a parser takes beyond what the process has now must be bounded; more is a MemoryError, so a crash."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + GROWTH_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main() -> None:
    parser, folder, work, seconds, seed = sys.argv[1:]
    warnings.simplefilter("ignore")
    faulthandler.enable()
    seeds = [read_folder(f) for f in sorted(Path(folder).iterdir())]
    print(json.dumps(asdict(fuzz(seeds, parser, float(seconds), int(seed), Path(work)))))


if __name__ == "__main__":
    main()
