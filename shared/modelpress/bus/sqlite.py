"""The bus in one SQLite file: durable, shared by the processes of one machine; the embedded default.

Offsets count over all topics, so that a reader of several topics sees their records in the order of writing.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from modelpress.bus.ports import Message, Partition, Record
from modelpress.errors import BusError, FencedError, StoreFullError

if TYPE_CHECKING:
    from modelpress.bus.ports import Bus

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    offset INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS records_by_topic ON records (topic, offset);
CREATE TABLE IF NOT EXISTS groups (name TEXT PRIMARY KEY, generation INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS offsets (
    name TEXT NOT NULL, topic TEXT NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (name, topic));
"""
_BUSY_S = 30.0
_LOOK_EVERY_S = 0.01
"""How often a waiting `poll` looks again: another process cannot wake it."""

Durability = Literal["process", "power"]


class SqliteBus:
    """One connection, which threads may share. ``durability="power"`` fsyncs every commit.

    Raises:
        BusError: ``path`` cannot be opened, or is no bus.
    """

    def __init__(self, path: Path, durability: Durability = "process") -> None:
        self._path = path
        self._lock = threading.Lock()
        with self._translated():
            self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute(f"PRAGMA synchronous={'FULL' if durability == 'power' else 'NORMAL'}")
                self._db.executescript(_SCHEMA)
            except sqlite3.Error:
                self._db.close()
                raise

    def producer(self) -> SqliteProducer:
        return SqliteProducer(self)

    def consumer(self, group: str, topics: Sequence[str]) -> SqliteConsumer:
        with self.transaction() as db:
            db.execute(
                "INSERT INTO groups VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET generation = generation + 1",
                (group,),
            )
            (generation,) = db.execute("SELECT generation FROM groups WHERE name = ?", (group,)).fetchone()
            known = dict(db.execute("SELECT topic, next FROM offsets WHERE name = ?", (group,)))
        return SqliteConsumer(self, group, generation, {topic: known.get(topic, 0) for topic in topics})

    def tail(self, topics: Sequence[str]) -> SqliteTail:
        return SqliteTail(self, dict.fromkeys(topics, 0))

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: all of the block or, when it raises, nothing."""
        with self._lock, self._translated():
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                # A full disk may have ended the transaction already.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def read(self, positions: Mapping[str, int], limit: int) -> list[Record]:
        """Up to ``limit`` records at or after ``positions`` (offset by topic), in the order of writing."""
        if not positions:
            return []
        part = "SELECT offset, topic, key, value FROM records WHERE topic = ? AND offset >= ?"
        query = " UNION ALL ".join([part] * len(positions)) + " ORDER BY offset LIMIT ?"
        arguments = [value for position in positions.items() for value in position]
        with self._lock, self._translated():
            rows = self._db.execute(query, [*arguments, limit]).fetchall()
        return [Record(Partition(topic), offset, key, value) for offset, topic, key, value in rows]

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as e:
            if getattr(e, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                raise StoreFullError(
                    f"no space is left for the bus at {self._path}: free some space, then run again to continue"
                ) from e
            raise BusError(f"the bus at {self._path} cannot be used: {e}") from e


class SqliteProducer:
    def __init__(self, bus: SqliteBus) -> None:
        self._bus = bus

    def send(self, messages: Sequence[Message]) -> None:
        with self._bus.transaction() as db:
            _append(db, messages)


class SqliteTail:
    def __init__(self, bus: SqliteBus, positions: dict[str, int]) -> None:
        self._bus = bus
        self._positions = positions

    def poll(self, timeout_s: float = 0.0, limit: int = 500) -> list[Record]:
        deadline_s = time.monotonic() + timeout_s
        while not (records := self._bus.read(self._positions, limit)) and time.monotonic() < deadline_s:
            time.sleep(min(_LOOK_EVERY_S, timeout_s))
        for record in records:
            self._positions[record.partition.topic] = record.offset + 1
        return records

    def close(self) -> None:
        """Nothing to release: the bus owns the connection."""


class SqliteConsumer(SqliteTail):
    def __init__(self, bus: SqliteBus, group: str, generation: int, positions: dict[str, int]) -> None:
        super().__init__(bus, positions)
        self._group = group
        self._generation = generation

    def commit(self, offsets: Mapping[Partition, int], out: Sequence[Message] = ()) -> None:
        with self._bus.transaction() as db:
            (generation,) = db.execute("SELECT generation FROM groups WHERE name = ?", (self._group,)).fetchone()
            if generation != self._generation:
                raise FencedError(f"a newer consumer of group '{self._group}' took over")
            db.executemany(
                "INSERT INTO offsets VALUES (?, ?, ?) ON CONFLICT (name, topic) DO UPDATE SET next = excluded.next",
                [(self._group, partition.topic, offset) for partition, offset in offsets.items()],
            )
            _append(db, out)


def _append(db: sqlite3.Connection, messages: Iterable[Message]) -> None:
    rows = [(m.topic, m.key, m.value) for m in messages]
    db.executemany("INSERT INTO records (topic, key, value) VALUES (?, ?, ?)", rows)


if TYPE_CHECKING:
    _: Bus = SqliteBus(Path())
