"""Homes, plans of toys and engines in processes of their own, for the tests of the engine."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modelpress.config.settings import Settings
from modelpress.engine.driver import Engine
from modelpress.engine.home import Home
from modelpress.pipeline.plan import Plan, PlannedStep, Source
from modelpress.testing.toys import CATALOGUE

DEADLINE_S = 60.0

DRIVER = """
import sys
from pathlib import Path
from modelpress.config.settings import Settings
from modelpress.engine.driver import Engine
from modelpress.engine.home import Home
from modelpress.testing.toys import CATALOGUE

root, run_id = Path(sys.argv[1]), sys.argv[2]
with Engine(Home(root), CATALOGUE, Settings(root, root, None, "process", 1), warm=()) as engine:
    try:
        engine.drive(run_id)
    except KeyboardInterrupt:
        sys.exit(130)
assert "torch" not in sys.modules
"""


def open_engine(root: Path, threads: int = 1) -> Engine:
    """An engine of the toys on the home ``root``."""
    return Engine(Home(root), CATALOGUE, Settings(root, root, None, "process", threads), warm=())


def drive_apart(root: Path, run_id: str) -> subprocess.Popen[bytes]:
    """A process of its own that drives ``run_id``; a process group of its own too, as a terminal gives."""
    return subprocess.Popen([sys.executable, "-c", DRIVER, str(root), run_id], start_new_session=True)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"waited in vain until {what}"
        time.sleep(0.005)


def worker_of(pid: int) -> int:
    """The process id of the worker's child that process ``pid`` started."""
    (found,) = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and _is_worker(p, parent=pid)]
    return found


def is_gone(pid: int) -> bool:
    """Whether a process ended; one that nobody collects (a container without an init) counts."""
    status = _status(Path(f"/proc/{pid}"))
    return status is None or status[0] == "Z"


def _is_worker(process: Path, parent: int) -> bool:
    status = _status(process)
    if status is None or int(status[1]) != parent:
        return False
    return b"modelpress.worker.child" in (process / "cmdline").read_bytes()


def _status(process: Path) -> list[str] | None:
    """State, parent and more of a process; None when it is gone."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


class Toys:
    """Plans whose steps all write to one journal."""

    def __init__(self, folder: Path) -> None:
        self.journal = folder / "journal"
        self.release = folder / "release"

    def step(self, step_id: str, uses: str, inputs: Mapping[str, Source] | None = None, **params: Any) -> PlannedStep:
        gate = params.pop("gate", {})
        given = {"name": step_id, "journal": str(self.journal), **params}
        info = CATALOGUE[f"toys/{uses}"]
        canonical = info.params.model_validate(given).model_dump(mode="json")
        return PlannedStep(
            id=step_id,
            uses=f"toys/{uses}",
            version=1,
            params=canonical,
            inputs=dict(inputs or {}),
            outputs=("report",),
            gate=gate,
            alone=not info.pure,
        )

    def diamond(self, **params: Mapping[str, Any]) -> Plan:
        """a; b and c copy it; d joins them. ``params`` by step."""
        return plan(
            self.step("a", "emit", **params.get("a", {})),
            self.step("b", "copy", {"source": "a.report"}, **params.get("b", {})),
            self.step("c", "copy", {"source": "a.report"}, **params.get("c", {})),
            self.step("d", "join", {"left": "b.report", "right": "c.report"}, **params.get("d", {})),
        )

    def executed(self) -> list[str]:
        return self.journal.read_text().split() if self.journal.exists() else []


def plan(*steps: PlannedStep, inputs: Mapping[str, str] | None = None, seed: int = 0) -> Plan:
    """A plan whose output ``report`` is its last step's."""
    return Plan(
        name="toys", inputs=dict(inputs or {}), steps=steps, outputs={"report": f"{steps[-1].id}.report"}, seed=seed
    )
