"""The log of the SQLite bus: topics, records, and who is woken by them.

A record's id is its partition's number, counted over all topics, before its offset: partitions are ranges of ids.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from modelpress.bus.doorbell import BellBoard, Doorbell
from modelpress.bus.ports import Message, Partition, Record, Topic
from modelpress.bus.sqlite_file import Durability, SqliteFile
from modelpress.bus.topics import check_same, partitions_of, place, unknown
from modelpress.errors import ModelpressError

_OFFSET_BITS = 40
_READ = "SELECT id, key, value FROM records WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
_APPEND = (
    "INSERT OR REPLACE INTO records (id, key, value, slot)"
    " VALUES ((SELECT coalesce(max(id) + 1, ?) FROM records WHERE id >= ? AND id < ?), ?, ?, ?)"
)
_FORGET = "DELETE FROM readers WHERE name = ?"
_LISTENERS = "SELECT name FROM readers WHERE topic = ?"


class _Known(NamedTuple):
    topic: Topic
    first: int


class SqliteLog:
    """A handle on the file at ``path``; beside it lie the sockets of its readers.

    Raises:
        BusError: the file or the folder cannot be used.
    """

    def __init__(self, path: Path, durability: Durability) -> None:
        self.board = BellBoard(path.with_name(f"{path.name}-readers"))
        try:
            self.file = SqliteFile(path, durability, self.board.fileno())
        except BaseException:
            self.board.close()
            raise
        self._known: dict[str, _Known] = {}
        self._dead: set[str] = set()

    def close(self) -> None:
        if not self.file.inherited:
            self.file.close()
            self.board.close()

    def ensure(self, topics: Iterable[Topic]) -> None:
        there = {name: known.topic for name, known in self._topics().items()}
        missing = []
        for topic in topics:
            check_same(there.get(topic.name, topic), topic)
            missing += [topic] if topic.name not in there else []
        if missing:
            with self.file.transaction() as db:
                _make(db, missing)
            # Somebody else may have made them first.
            self.ensure(missing)

    def partitions(self, topics: Iterable[str]) -> list[Partition]:
        return partitions_of(self._find(name).topic for name in topics)

    def read(self, partition: Partition, offset: int, limit: int) -> list[Record]:
        first, end = self._ids(partition)
        rows = self.file.rows(_READ, (first + offset, end, limit))
        return [Record(partition, id_ - first, key, value) for id_, key, value in rows]

    def end(self, partition: Partition) -> int:
        """The offset that comes next."""
        first, end = self._ids(partition)
        ((last,),) = self.file.rows("SELECT max(id) FROM records WHERE id >= ? AND id < ?", (first, end))
        return 0 if last is None else int(last) - first + 1

    def number(self, partition: Partition) -> int:
        """The partition's number over all topics."""
        return self._find(partition.topic).first + partition.number

    def append(self, messages: Sequence[Message], first: Callable[[sqlite3.Connection], None] | None = None) -> None:
        """Write ``messages``, to last; or after what ``first`` does in the same transaction, as part of a commit."""
        rows = [self._row(message) for message in messages]
        with self.file.transaction(lasting=first is None) as db:
            if first is not None:
                first(db)
            db.executemany(_APPEND, rows)
            db.executemany(_FORGET, [(name,) for name in self._dead])
            listeners = _listeners(db, {message.topic for message in messages})
        self._dead = set(self.board.ring(listeners))

    def hang(self, topics: Sequence[str]) -> Doorbell:
        bell = self.board.hang(secrets.token_hex(6))
        try:
            with self.file.transaction() as db:
                db.executemany("INSERT INTO readers VALUES (?, ?)", [(topic, bell.name) for topic in set(topics)])
        except BaseException:
            self.take_down(bell)
            raise
        return bell

    def take_down(self, bell: Doorbell) -> None:
        if self.file.inherited:
            return
        self.board.take_down(bell.name)
        bell.close()
        # Should that fail, on a full disk, the next writer who rings in vain does it.
        with contextlib.suppress(ModelpressError), self.file.transaction() as db:
            db.execute(_FORGET, (bell.name,))

    def _row(self, message: Message) -> tuple[int, int, int, str, bytes, int | None]:
        topic = self._find(message.topic).topic
        partition = place(message, topic)
        first, end = self._ids(partition)
        return first, first, end, message.key, message.value, self.number(partition) if topic.compacted else None

    def _ids(self, partition: Partition) -> tuple[int, int]:
        number = self.number(partition)
        return number << _OFFSET_BITS, (number + 1) << _OFFSET_BITS

    def _find(self, topic: str) -> _Known:
        known = self._known.get(topic) or self._topics().get(topic)
        if known is None:
            raise unknown(topic, self._known)
        return known

    def _topics(self) -> dict[str, _Known]:
        rows = self.file.rows("SELECT name, first, partitions, compacted FROM topics")
        self._known = {
            name: _Known(Topic(name, partitions, bool(compacted)), first) for name, first, partitions, compacted in rows
        }
        return self._known


def _make(db: sqlite3.Connection, topics: Iterable[Topic]) -> None:
    (end,) = db.execute("SELECT coalesce(max(first + partitions), 0) FROM topics").fetchone()
    for topic in topics:
        row = (topic.name, end, topic.partitions, topic.compacted)
        end += db.execute("INSERT OR IGNORE INTO topics VALUES (?, ?, ?, ?)", row).rowcount * topic.partitions


def _listeners(db: sqlite3.Connection, topics: Iterable[str]) -> set[str]:
    return {name for topic in topics for (name,) in db.execute(_LISTENERS, (topic,))}
