"""Keeping a home in order: what may go, what takes the space, what is damaged; runs out to files and in again."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.gc import Collected, collect
from modelpress.artifacts.usage import Usage, usage
from modelpress.artifacts.verify import Damage, Progress, verify
from modelpress.engine.state import RunState
from modelpress.errors import InputError

if TYPE_CHECKING:
    from modelpress.engine.driver import Engine

DAY_S = 86_400.0
MIN_DRIVEN_GRACE_S = 600.0
"""While something drives the home: longer than any step takes from storing its first output to being in its run."""


def roots_of(state: RunState) -> tuple[Digest, ...]:
    """What a run that is listed keeps: its inputs and outputs; until it ends also what its steps have made."""
    steps = () if state.status.final else tuple(d for step in state.steps.values() for d in step.outputs.values())
    return tuple(map(Digest, (*state.inputs.values(), *state.outputs.values(), *steps)))


def open_keys(runs: Iterable[RunState]) -> frozenset[str]:
    """Step keys of the runs that have not ended: their results and checkpoints are wanted."""
    unfinished = (state for state in runs if not state.status.final)
    return frozenset(step.key for state in unfinished for step in state.steps.values() if step.key)


def collect_garbage(engine: Engine, grace_s: float, dry_run: bool) -> Collected:
    """See `Client.gc`."""
    driver = engine.driver_pid()
    if driver is not None and grace_s < MIN_DRIVEN_GRACE_S and not dry_run:
        raise InputError(
            f"a grace of {grace_s:g} s is too short while process {driver} drives this home: a step that it stores now "
            f"could lose its result. Give at least {MIN_DRIVEN_GRACE_S:g} s, or wait until nothing drives the home"
        )
    runs = engine.runs()
    roots = [digest for state in runs for digest in roots_of(state)]
    keys = open_keys(runs)
    return collect(engine.store, roots, keys, grace_s=grace_s, keep_slots=keys, dry_run=dry_run)


def account(engine: Engine) -> Usage:
    """See `Client.du`."""
    return usage(engine.store, [digest for state in engine.runs() for digest in roots_of(state)])


def damages(engine: Engine, progress: Progress | None) -> list[Damage]:
    """See `Client.verify`."""
    return verify(engine.store, progress, {state.run_id: roots_of(state) for state in engine.runs()})


def export_run(engine: Engine, run_id: str, path: Path) -> Path:
    """See `Run.export`."""
    from modelpress.client import archive

    archive.export_run(engine.store, engine.get(run_id), path, engine.home.logs_path(run_id))
    return path


def import_run(engine: Engine, path: Path) -> str:
    """Take a run from a file into the home; its id. See `Client.import_run`."""
    from modelpress.client import archive

    logs = engine.home.root / "logs"
    with tempfile.TemporaryDirectory(dir=logs, prefix=".import-") as folder:
        state = archive.import_run(engine.store, path, Path(folder) / "run")
        known = next((run for run in engine.runs() if run.run_id == state.run_id), None)
        if known is not None and not known.status.final:
            raise InputError(f"run {state.run_id} is here already and {known.status}: let it end, or cancel it")
        if known is None:
            _keep_logs(Path(folder) / "run", engine.home.logs_path(state.run_id))
            engine.adopt(state)
    return state.run_id


def _keep_logs(brought: Path, kept: Path) -> None:
    if brought.is_dir() and not kept.exists():
        os.replace(brought, kept)
