"""One trial: a pipeline in a fresh home, one SIGKILL on the way, and then to the end by a new process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.engine.processes import children_of, is_alive, kill, wait_for
from benchmarks.harness import ROOT
from modelpress.engine.events import Event, StepStarted, parse_event

Victim = Literal["child", "engine", "both"]
VICTIMS: tuple[Victim, ...] = ("child", "engine", "both")

DEADLINE_S = 120.0
"""A run that takes longer hangs: what it did not finish counts as lost."""


@dataclass(frozen=True)
class Kill:
    """``at_s`` seconds after the process was started or, with ``in_step``, after its first step was."""

    victim: Victim
    at_s: float
    in_step: bool = False


@dataclass(frozen=True)
class Trial:
    """``hit`` is whether the victim was alive; ``events`` are what the processes told, in order."""

    home: Path
    hit: bool
    events: tuple[Event, ...]
    seconds: float


def attempt(template: Path, folder: Path, pipeline: str, planned: Kill | None) -> Trial:
    """Copy ``template`` to a home in ``folder``, run ``pipeline`` there, kill as ``planned``, run the rest.

    Raises:
        RuntimeError: a child outlived its engine and its step.
    """
    home = folder / "home"
    shutil.copytree(template, home)
    began = time.monotonic()
    process = _Process(home, pipeline, folder / "first")
    hit, orphans = process.suffer(planned) if planned else (False, [])
    outputs = [process.output]
    if process.wait() != 0:
        again = _Process(home, pipeline, folder / "again")
        again.wait()
        outputs.append(again.output)
    seconds = time.monotonic() - began
    if not wait_for(lambda: not any(map(is_alive, orphans)), time.monotonic() + DEADLINE_S):
        raise RuntimeError(f"children of a killed engine still live in {home}: {orphans}")
    return Trial(home, hit, tuple(event for output in outputs for event in _events(output)), seconds)


class _Process:
    """The engine of a trial."""

    def __init__(self, home: Path, pipeline: str, output: Path) -> None:
        self.output = output
        environ = os.environ | {"OMP_NUM_THREADS": "1", "MODELPRESS_THREADS": "1", "MODELPRESS_DURABILITY": "process"}
        command = [sys.executable, "-m", "benchmarks.engine.job", str(home), pipeline]
        with open(output, "wb") as out, open(output.with_suffix(".err"), "wb") as err:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=ROOT, env=environ
            )
        self._began = time.monotonic()

    def wait(self) -> int:
        """Its exit code; it is killed when it takes too long."""
        try:
            return self._process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            kill([self._process.pid, *children_of(self._process.pid)])
            return self._process.wait()

    def suffer(self, planned: Kill) -> tuple[bool, list[int]]:
        """Kill as planned: whether it hit, and the children that the engine had."""
        if planned.in_step:
            self._until(self._has_started)
        moment_s = (time.monotonic() if planned.in_step else self._began) + planned.at_s
        self._until(lambda: time.monotonic() >= moment_s)
        if planned.victim == "child":
            self._until(lambda: bool(children_of(self._process.pid)))
        children = children_of(self._process.pid)
        hit = self._process.poll() is None
        kill(_victims(planned.victim, self._process.pid, children))
        return hit, children

    def _until(self, condition: object) -> None:
        """Wait for a condition, or the end of the process."""
        assert callable(condition)
        wait_for(lambda: self._process.poll() is not None or condition(), self._began + DEADLINE_S)

    def _has_started(self) -> bool:
        return any(isinstance(event, StepStarted) for event in _events(self.output))


def _victims(victim: Victim, engine: int, children: Sequence[int]) -> list[int]:
    return {"child": [*children], "engine": [engine], "both": [engine, *children]}[victim]


def _events(output: Path) -> list[Event]:
    """What a process told; a line that its death cut short is left out."""
    whole, _, _ = output.read_bytes().rpartition(b"\n")
    return [parse_event(line) for line in whole.splitlines()]
