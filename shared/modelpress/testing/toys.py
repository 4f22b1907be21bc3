"""Methods that take milliseconds and no torch, for tests of what runs methods.

Each execution leaves a line in the file ``journal``, so that a test can count executions; a kernel with ``wait_for``
blocks until that file is there, so that a test can act while it runs.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from modelpress.catalogue import Catalogue, Kind, MethodInfo, MethodParams, Port
from modelpress.errors import DataError, StoreFullError
from modelpress.job import Job

WAIT_S = 60.0

Fault = Literal["", "value", "data", "full", "system-full", "death", "exit"]


class ToyParams(MethodParams):
    """``fault`` happens unless the file ``fixed`` exists."""

    name: str
    journal: str
    value: float = 1.0
    wait_for: str = ""
    fault: Fault = ""
    fixed: str = ""


class CountParams(ToyParams):
    """Counts to ``epochs``, with a checkpoint after each; waits before epoch ``wait_at``."""

    epochs: int = 4
    wait_at: int = 2


_INFO: dict[str, Any] = {"outputs": {"report": Kind.REPORT}, "metrics": {"value": "what was asked for"}}
_REPORT = Port(Kind.REPORT)

CATALOGUE = Catalogue(
    (
        MethodInfo("toys/emit", ToyParams, f"{__name__}:emit", "A report from nothing.", inputs={}, **_INFO),
        MethodInfo("toys/copy", ToyParams, f"{__name__}:copy", "Another.", inputs={"source": _REPORT}, **_INFO),
        MethodInfo("toys/count", CountParams, f"{__name__}:count", "Slowly.", inputs={}, **_INFO),
        MethodInfo(
            "toys/join",
            ToyParams,
            f"{__name__}:join",
            "One report from two.",
            inputs={"left": _REPORT, "right": _REPORT},
            **_INFO,
        ),
        MethodInfo("toys/measure", ToyParams, f"{__name__}:emit", "Impure.", inputs={}, pure=False, **_INFO),
        MethodInfo("toys/liar", ToyParams, f"{__name__}:emit_nothing", "Keeps no promise.", inputs={}, **_INFO),
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


def _run(params: ToyParams, job: Job) -> None:
    _write_line(params.journal, params.name)
    os.write(1, f"{params.name} writes to standard output\n".encode())
    job.log(f"{params.name} works")
    job.progress("work", 0, 1)
    _wait_for(params.wait_for)
    if not (params.fixed and Path(params.fixed).exists()):
        _fail(params.fault)


def _report(params: ToyParams, job: Job, **sources: Mapping[str, Any]) -> Mapping[str, Any]:
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
        case "death":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(3)
