"""A home: the folder in which an embedded engine keeps everything.

<home>/store/                     artifacts, results, checkpoints
<home>/bus.sqlite                 events and commands
<home>/logs/<run>/<step>.log      what a step wrote
<home>/logs/worker.log            what the worker's process wrote outside of steps
<home>/lock                       held, and naming the process, while one drives the home
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from modelpress.artifacts.files import explaining
from modelpress.artifacts.filesystem import FilesystemStore
from modelpress.bus.sqlite import SqliteBus
from modelpress.config.settings import Durability
from modelpress.errors import HomeBusyError, InputError
from modelpress.worker.protocol import StoreAddress

TENANT = "default"


class Home:
    """Paths and what lies there. Made where it is missing.

    Raises:
        InputError: ``root`` cannot be made or written.
    """

    def __init__(self, root: Path, durability: Durability = "process") -> None:
        self.root = root.absolute()
        self.durability: Durability = durability
        try:
            str(self.root).encode()
        except UnicodeEncodeError as e:
            raise InputError(f"no home can be made at {str(root)!a}: its name is no UTF-8, name another folder") from e
        try:
            (self.root / "logs").mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise InputError(f"no home can be made at {root} ({e.strerror}): name a folder that can be written") from e

    @property
    def store_address(self) -> StoreAddress:
        return StoreAddress(root=str(self.root / "store"), tenant=TENANT, durability=self.durability)

    @property
    def worker_log_path(self) -> Path:
        return self.root / "logs" / "worker.log"

    def open_store(self) -> FilesystemStore:
        return FilesystemStore(self.root / "store", TENANT, self.durability)

    def open_bus(self) -> SqliteBus:
        return SqliteBus(self.root / "bus.sqlite", self.durability)

    def logs_path(self, run_id: str) -> Path:
        """The folder of a run's logs, there once a step of it wrote."""
        return self.root / "logs" / run_id

    def log_path(self, run_id: str, step_id: str) -> Path:
        """Where the log of a step lies; its folder is made.

        Raises:
            StoreError: no space is left, or the folder cannot be written.
        """
        path = self.logs_path(run_id) / f"{step_id}.log"
        with explaining(path.parent):
            # With its parents: who needs space removes logs, and steps go on.
            path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @contextlib.contextmanager
    def driving(self) -> Iterator[None]:
        """Hold the home's lock; the operating system releases it when the process dies.

        Raises:
            HomeBusyError: another process drives the home; names it.
        """
        with open(self.root / "lock", "a+", encoding="ascii") as file:
            self._lock(file.fileno())
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def driver_pid(self) -> int | None:
        """The process that drives the home now, None where none does."""
        with open(self.root / "lock", "a+", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = (self.root / "lock").read_text(encoding="ascii")
                return int(owner) if owner.isdecimal() else None
        return None

    def _lock(self, handle: int) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            owner = (self.root / "lock").read_text(encoding="ascii") or "unknown"
            raise HomeBusyError(
                f"process {owner} drives the home {self.root}: wait for it, or set MODELPRESS_HOME to another folder"
            ) from e
