"""A gigabyte into the store and out again, beside ``cp`` and ``sha256sum`` of the same file on the same disk.

In is a file that becomes a blob, out is a blob that becomes a file: both copy and hash, as the two commands together
do. All four take turns, and none waits for the device: what came before is removed or flushed before the next begins.
Ours runs in a process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.harness import ROOT, Figure, Figures, peak_mb
from modelpress.artifacts.digest import Digest
from modelpress.artifacts.filesystem import FilesystemStore
from modelpress.artifacts.streams import chunks_of

MIB = 1 << 20


def run(*, quick: bool) -> Figures:
    size_mib, rounds = (64, 1) if quick else (1024, 5)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        _write_random(source, size_mib)
        taken = [_round(source, Path(folder)) for _ in range(rounds)]
    seconds = {name: tuple(one[name] for one in taken) for name in taken[0]}
    slower = tuple(map(max, seconds["cp"], seconds["sha256sum"]))
    writes = tuple(theirs / ours for theirs, ours in zip(slower, seconds["in"], strict=True))
    reads = tuple(theirs / ours for theirs, ours in zip(slower, seconds["out"], strict=True))
    speeds = {name: size_mib / median(seconds[name]) for name in ("in", "out", "cp", "sha256sum")}
    return {
        "write_ratio": Figure(median(writes), "x", writes, ">= 0.8", "speed over the slower of cp and sha256sum"),
        "read_ratio": Figure(median(reads), "x", reads, ">= 0.8", "speed over the slower of cp and sha256sum"),
        "peak_mb": Figure(max(seconds["peak_mb"]), "MB", target="< 200", note="of the process, imports and all"),
        "size_mib": Figure(size_mib, "MiB"),
        **{f"{name}_mib_per_s": Figure(speed, "MiB/s") for name, speed in speeds.items()},
    }


def _round(source: Path, folder: Path) -> dict[str, float]:
    """Seconds of each, in turn; ours also tells its peak of memory."""
    copy = folder / "copy"
    found = {
        "sha256sum": _seconds(lambda: subprocess.run(["sha256sum", str(source)], check=True, capture_output=True)),
        "cp": _seconds(lambda: subprocess.run(["cp", str(source), str(copy)], check=True)),
    }
    copy.unlink()
    command = [sys.executable, "-m", "benchmarks.store", str(source), str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    ours: dict[str, float] = json.loads(done.stdout)
    return found | ours


def measure(source: Path, folder: Path) -> dict[str, float]:
    """Seconds in and out, and the peak of memory, in this process. Leaves nothing in ``folder``."""
    store = FilesystemStore(folder / "store")
    copy = folder / "copy"
    digests: list[Digest] = []
    found = {"in": _seconds(lambda: digests.append(_put(store, source)))}
    found["out"] = _seconds(lambda: _save(store, digests[0], copy))
    if copy.stat().st_size != source.stat().st_size:
        raise RuntimeError("what came out has another size")
    copy.unlink()
    store.blobs.discard(digests[0])
    return found | {"peak_mb": peak_mb()}


def _put(store: FilesystemStore, source: Path) -> Digest:
    with open(source, "rb", buffering=0) as file:
        return store.blobs.put(chunks_of(file))


def _save(store: FilesystemStore, digest: Digest, path: Path) -> None:
    with open(path, "wb", buffering=0) as file:
        for chunk in store.blobs.open(digest):
            file.write(chunk)


def _seconds(work: Callable[[], object]) -> float:
    os.sync()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _write_random(path: Path, size_mib: int) -> None:
    with open(path, "wb") as file:
        for _ in range(size_mib):
            file.write(os.urandom(MIB))


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), Path(sys.argv[2]))))
