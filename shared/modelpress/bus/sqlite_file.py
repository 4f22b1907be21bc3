"""The file of the SQLite bus: its schema and version, transactions, and what its errors mean.

Invariant: the last record of a partition is never deleted, so the next offset follows from it.
Invariant: a record of a compacted topic has a ``slot``, in which its key is unique; a newer one replaces the older.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from modelpress import __version__
from modelpress.errors import BusError, StoreFullError

Durability = Literal["process", "power"]

LAYOUT = 2
"""The schema's version, as ``PRAGMA user_version``; 1 was a table of records without partitions, and not marked."""

_SCHEMA = (
    "CREATE TABLE topics (name TEXT PRIMARY KEY, first INTEGER, partitions INTEGER, compacted INTEGER) WITHOUT ROWID",
    "CREATE TABLE records (id INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB NOT NULL, slot INTEGER)",
    "CREATE UNIQUE INDEX newest ON records (slot, key) WHERE slot IS NOT NULL",
    "CREATE TABLE positions (member_group TEXT, partition INTEGER, next INTEGER, owner TEXT, epoch INTEGER,"
    " PRIMARY KEY (member_group, partition)) WITHOUT ROWID",
    "CREATE TABLE members (member_group TEXT, name TEXT, PRIMARY KEY (member_group, name)) WITHOUT ROWID",
    "CREATE TABLE readers (topic TEXT, name TEXT, PRIMARY KEY (topic, name)) WITHOUT ROWID",
    "CREATE TABLE made_by (version TEXT)",
    f"PRAGMA user_version = {LAYOUT}",
)
_BUSY_S = 30.0
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_NOT_WRITABLE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}


class SqliteFile:
    """One connection, which threads may share. ``folder`` is a descriptor that processes lock while they open the file.

    Raises:
        BusError: ``path`` cannot be opened or written, is damaged, or has another layout.
    """

    def __init__(self, path: Path, durability: Durability, folder: int) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._power = self._syncing = durability == "power"
        with self._translated(), _locked(folder):
            self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    @property
    def inherited(self) -> bool:
        """Whether this is the parent's, in a forked child: nothing here may be used or closed then."""
        return self._pid != os.getpid()

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def rows(self, query: str, arguments: Sequence[Any] = ()) -> list[Any]:
        """What ``query`` finds."""
        with self._mine(), self._translated():
            return self._db.execute(query, arguments).fetchall()

    @contextlib.contextmanager
    def transaction(self, *, lasting: bool = True) -> Iterator[sqlite3.Connection]:
        """A write transaction: all of the block or, when it raises, nothing.

        Where power cuts count, a ``lasting`` one is on the device when this returns, and with it all that was written
        before. Another one, and what follows it, a power cut may take back.
        """
        with self._mine(), self._translated():
            try:
                self._sync(lasting)
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                # A full disk may have ended the transaction already.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _sync(self, lasting: bool) -> None:
        if self._power and lasting is not self._syncing:
            self._db.execute(f"PRAGMA synchronous = {'FULL' if lasting else 'NORMAL'}")
            self._syncing = lasting

    def _prepare(self) -> None:
        (layout,) = self._db.execute("PRAGMA user_version").fetchone()
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and layout != LAYOUT:
            raise self._of_another_layout(layout)
        (mode,) = self._db.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise BusError(f"the file system of {self._path} cannot share a bus: name a home on a local disk")
        self._db.execute(f"PRAGMA synchronous = {'FULL' if self._power else 'NORMAL'}")
        if not tables:
            with self.transaction() as db:
                for statement in _SCHEMA:
                    db.execute(statement)
                db.execute("INSERT INTO made_by VALUES (?)", (__version__,))

    def _of_another_layout(self, layout: int) -> BusError:
        maker = "an earlier modelpress 0.1"
        if layout > LAYOUT:
            (version,) = self._db.execute("SELECT version FROM made_by").fetchone()
            maker = f"modelpress {version}"
        return BusError(
            f"the bus at {self._path} was made by {maker} and has layout {max(layout, 1)}, this is modelpress"
            f" {__version__} and reads layout {LAYOUT}: use {maker}, or {self._way_out}"
        )

    @property
    def _way_out(self) -> str:
        return f"move {self._path.name} and its -wal away (runs are forgotten; artifacts and cached results stay)"

    def _mine(self) -> threading.Lock:
        if self.inherited:
            raise BusError("a bus cannot be used in a forked child: open it there again")
        return self._lock

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as e:
            raise self._translation(e) from e

    def _translation(self, error: sqlite3.Error) -> Exception:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if _FULL & {code, code & 0xFF}:
            return StoreFullError(
                f"no space is left for the bus at {self._path}: free some space, then run again to continue"
            )
        if code & 0xFF in _DAMAGED:
            return BusError(f"the bus at {self._path} is damaged ({error}): {self._way_out}")
        if code & 0xFF in _NOT_WRITABLE:
            return BusError(f"the bus at {self._path} cannot be written ({error}): name a home that you can write")
        return BusError(f"the bus at {self._path} cannot be used: {error}")


@contextlib.contextmanager
def _locked(folder: int) -> Iterator[None]:
    """Alone among the processes: a journal's mode and a schema are made once."""
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(folder, fcntl.LOCK_UN)
