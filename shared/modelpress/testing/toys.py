"""Methods that take milliseconds and no torch, for tests and benchmarks of what runs methods.

Each execution of those that have a ``journal`` leaves a line in that file, so that a test can count executions; a
kernel with ``wait_for`` blocks until that file is there, so that a test can act while it runs.
"""

from __future__ import annotations

import errno
import hashlib
import math
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from modelpress.catalogue import Catalogue, Kind, MethodInfo, MethodParams, Port
from modelpress.errors import DataError, StepError, StoreFullError
from modelpress.job import Job

WAIT_S = 60.0

Fault = Literal["", "value", "data", "full", "system-full", "retryable", "death", "exit"]


class NamedParams(MethodParams):
    """``name`` makes the step's key its own."""

    name: str
    value: float = 1.0


class ToyParams(NamedParams):
    """``fault`` happens unless the file ``fixed`` exists, and only to the first ``faults`` executions where set."""

    journal: str
    wait_for: str = ""
    fault: Fault = ""
    fixed: str = ""
    faults: int = 0


class CountParams(ToyParams):
    """Counts to ``epochs``, with a checkpoint after each; waits before epoch ``wait_at``."""

    epochs: int = 4
    wait_at: int = 2


class TrainParams(MethodParams):
    """``epochs`` of ``epoch_s`` seconds, each a line ``name:epoch`` in the journal, then a checkpoint."""

    name: str
    journal: str
    epochs: int = 10
    epoch_s: float = 0.0


class HangParams(MethodParams):
    """Leaves a line in the journal and never ends."""

    name: str
    journal: str


class ChatterParams(NamedParams):
    """Prints so many lines of so many bytes."""

    lines: int
    line_bytes: int


class HogParams(NamedParams):
    """Allocates and touches so many MB; ``keep`` leaks them. Then waits as other toys do."""

    megabytes: int
    keep: bool = False
    wait_for: str = ""


class NanParams(NamedParams):
    """Reports ``value`` as a metric that is no number."""

    kind: Literal["nan", "inf"] = "nan"


_INFO: dict[str, Any] = {"outputs": {"report": Kind.REPORT}, "metrics": {"value": "what was asked for"}}
_REPORT = Port(Kind.REPORT)
_OPTIONAL = Port(Kind.REPORT, optional=True)


def _toy(name: str, params: type[MethodParams], kernel: str, summary: str, **facts: Any) -> MethodInfo:
    return MethodInfo(f"toys/{name}", params, f"{__name__}:{kernel}", summary, **{"inputs": {}, **_INFO, **facts})


CATALOGUE = Catalogue(
    (
        _toy("emit", ToyParams, "emit", "A report from nothing."),
        _toy("copy", ToyParams, "copy", "Another.", inputs={"source": _REPORT}),
        _toy("join", ToyParams, "join", "One report from two.", inputs={"left": _REPORT, "right": _REPORT}),
        _toy("gather", ToyParams, "gather", "One report from many.", inputs={"sources": Port(Kind.REPORT, many=True)}),
        _toy("count", CountParams, "count", "Slowly.", trains=True),
        _toy("measure", ToyParams, "emit", "Impure.", pure=False),
        _toy("liar", ToyParams, "emit_nothing", "Keeps no promise."),
        _toy("noop", NamedParams, "noop", "As little as a step can do.", inputs={"source": _OPTIONAL}),
        _toy("train", TrainParams, "train", "Epochs with checkpoints.", trains=True),
        _toy("hang", HangParams, "hang", "Never ends."),
        _toy("spawn", HangParams, "spawn", "Starts a process, and never ends."),
        _toy("chatter", ChatterParams, "chatter", "Prints much."),
        _toy("hog", HogParams, "hog", "Takes memory."),
        _toy("nan", NanParams, "report_no_number", "A metric that is no number."),
    )
)


def emit(params: ToyParams, job: Job) -> Mapping[str, Any]:
    _run(params, job)
    return _report(params, job)


def copy(source: Mapping[str, Any], params: ToyParams, job: Job) -> Mapping[str, Any]:
    _run(params, job)
    return _report(params, job, source=source)


def join(left: Mapping[str, Any], right: Mapping[str, Any], params: ToyParams, job: Job) -> Mapping[str, Any]:
    _run(params, job)
    return _report(params, job, left=left, right=right)


def gather(sources: Sequence[Mapping[str, Any]], params: ToyParams, job: Job) -> Mapping[str, Any]:
    _run(params, job)
    return _report(params, job, sources=list(sources))


def count(params: CountParams, job: Job) -> Mapping[str, Any]:
    done = int(job.checkpoints.load() or b"0")
    for epoch in range(done, params.epochs):
        if epoch == params.wait_at:
            _wait_for(params.wait_for)
        _write_line(params.journal, f"{params.name}:{epoch}")
        job.checkpoints.save(str(epoch + 1).encode())
        job.progress("epochs", epoch + 1, params.epochs, value=float(epoch))
    return _report(params, job)


def emit_nothing(params: ToyParams, job: Job) -> Mapping[str, Any]:
    return {}


def noop(params: NamedParams, job: Job, source: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    below = source["depth"] if source else 0
    job.metric("value", params.value)
    return {"report": {"name": params.name, "value": params.value, "depth": below + 1}}


def train(params: TrainParams, job: Job) -> Mapping[str, Any]:
    """The "weights" are a hash over all epochs: an epoch left out or done on other weights changes the report."""
    done, _, weights = (job.checkpoints.load() or f"0:{params.name}".encode()).decode().partition(":")
    for epoch in range(int(done), params.epochs):
        _write_line(params.journal, f"{params.name}:{epoch}")
        time.sleep(params.epoch_s)
        weights = hashlib.sha256(f"{weights}/{epoch}/{job.seed}".encode()).hexdigest()
        job.checkpoints.save(f"{epoch + 1}:{weights}".encode())
        job.progress("train", epoch + 1, params.epochs)
    job.metric("value", float(params.epochs))
    return {"report": {"name": params.name, "weights": weights}}


def hang(params: HangParams, job: Job) -> Mapping[str, Any]:
    _write_line(params.journal, params.name)
    while True:
        time.sleep(WAIT_S)


def spawn(params: HangParams, job: Job) -> Mapping[str, Any]:
    """As `hang`; the line in the journal is the id of the process."""
    started = subprocess.Popen(["sleep", str(WAIT_S)])
    return hang(params.model_copy(update={"name": str(started.pid)}), job)


def chatter(params: ChatterParams, job: Job) -> Mapping[str, Any]:
    line = b"x" * (params.line_bytes - 1) + b"\n"
    for _ in range(params.lines):
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(1, rest) :]
    return _named_report(params, job)


_KEPT: list[bytearray] = []


def hog(params: HogParams, job: Job) -> Mapping[str, Any]:
    # Bytes other than zero: pages that nobody writes to are not resident.
    taken = bytearray(b"x") * (params.megabytes * 10**6)
    if params.keep:
        _KEPT.append(taken)
    _wait_for(params.wait_for)
    return _named_report(params, job)


def report_no_number(params: NanParams, job: Job) -> Mapping[str, Any]:
    job.metric("value", math.nan if params.kind == "nan" else math.inf)
    return {"report": {"name": params.name}}


def _run(params: ToyParams, job: Job) -> None:
    _write_line(params.journal, params.name)
    os.write(1, f"{params.name} writes to standard output\n".encode())
    job.log(f"{params.name} works")
    job.progress("work", 0, 1)
    _wait_for(params.wait_for)
    if not _is_spared(params):
        _fail(params.fault)


def _is_spared(params: ToyParams) -> bool:
    if params.faults:
        executions = Path(params.journal).read_text(encoding="utf-8").splitlines().count(params.name)
        return executions > params.faults
    return bool(params.fixed) and Path(params.fixed).exists()


def _named_report(params: NamedParams, job: Job) -> Mapping[str, Any]:
    job.metric("value", params.value)
    return {"report": {"name": params.name, "value": params.value}}


def _report(params: ToyParams, job: Job, **sources: Any) -> Mapping[str, Any]:
    job.metric("value", params.value)
    return {"report": {"name": params.name, "value": params.value, "seed": job.seed, **sources}}


def _write_line(path: str, text: str) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{text}\n")


def _wait_for(path: str) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while path and not Path(path).exists():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{path} did not appear")
        time.sleep(0.005)


def _fail(fault: Fault) -> None:
    match fault:
        case "value":
            raise ValueError("a kernel's own error")
        case "data":
            raise DataError("labels out of range: 11 of 10 classes")
        case "full":
            raise StoreFullError("no space is left for the store")
        case "system-full":
            raise OSError(errno.ENOSPC, "No space left on device")
        case "retryable":
            raise StepError("the licence server is busy", retryable=True)
        case "death":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(3)
