"""The bus in one SQLite file: durable, shared by the processes of one machine; the embedded default."""

from __future__ import annotations

import contextlib
import math
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modelpress.bus.doorbell import Doorbell
from modelpress.bus.groups import share_out
from modelpress.bus.ports import Message, Partition, Topic
from modelpress.bus.reader import LOOK_EVERY_S, Claim, LogConsumer, LogTail, fenced
from modelpress.bus.sqlite_file import Durability
from modelpress.bus.sqlite_log import SqliteLog
from modelpress.errors import ModelpressError

if TYPE_CHECKING:
    from modelpress.bus.ports import Bus

__all__ = ["Durability", "SqliteBus"]

_MEMBERS = "SELECT name FROM members WHERE member_group = ?"
_IS_MEMBER = "SELECT 1 FROM members WHERE member_group = ? AND name = ?"
_REMOVE = "DELETE FROM members WHERE member_group = ? AND name = ?"
_CLAIMS = "SELECT partition, epoch, next FROM positions WHERE member_group = ? AND owner = ?"
_GIVE = (
    "INSERT INTO positions (member_group, partition, next, owner, epoch) VALUES (?, ?, 0, ?, 1)"
    " ON CONFLICT DO UPDATE SET owner = excluded.owner, epoch = epoch + 1"
)
_MOVE = "UPDATE positions SET next = ? WHERE member_group = ? AND partition = ? AND epoch = ?"


class SqliteBus:
    """A handle, which threads may share, each with readers of its own; a forked child opens another.

    ``durability``: "process" survives the death of any process, "power" fsyncs every commit.

    Raises:
        BusError: ``path`` cannot be opened or written, is damaged, or was made by another version.
        StoreFullError: no space is left.
    """

    def __init__(self, path: Path, durability: Durability = "process") -> None:
        self._log = SqliteLog(path, durability)
        self._readers: set[LogTail] = set()

    def ensure(self, topics: Iterable[Topic]) -> None:
        self._log.ensure(topics)

    def producer(self) -> SqliteProducer:
        return SqliteProducer(self._log)

    def consumer(self, group: str, topics: Sequence[str]) -> LogConsumer:
        membership = SqliteMembership(self._log, group, self._log.partitions(topics))
        return LogConsumer(self._log, self._readers, topics, membership)

    def tail(self, topics: Sequence[str], *, from_end: bool = False) -> LogTail:
        positions = {p: self._log.end(p) if from_end else 0 for p in self._log.partitions(topics)}
        return LogTail(self._log, self._readers, topics, positions)

    def close(self) -> None:
        for reader in list(self._readers):
            reader.close()
        self._log.close()


class SqliteProducer:
    def __init__(self, log: SqliteLog) -> None:
        self._log = log

    def send(self, messages: Sequence[Message]) -> None:
        self._log.append(messages)


class SqliteMembership:
    """A member's side of ``group``, which shares ``partitions``."""

    def __init__(self, log: SqliteLog, group: str, partitions: Sequence[Partition]) -> None:
        self.group = group
        self._log = log
        self._partitions = {log.number(partition): partition for partition in partitions}
        self._looked_s = -math.inf

    def join(self, bell: Doorbell) -> None:
        self._change(joins=[bell.name])

    def claims(self, name: str) -> dict[Partition, Claim] | None:
        self._look(name)
        rows = self._log.file.rows(_CLAIMS, (self.group, name))
        if not rows and name not in self._members():
            return None
        return {self._partitions[number]: Claim(epoch, offset) for number, epoch, offset in rows}

    def commit(self, name: str, claims: Mapping[Partition, Claim], out: Sequence[Message]) -> None:
        moves = [(claim.next, self.group, self._log.number(p), claim.epoch) for p, claim in claims.items()]

        def move(db: sqlite3.Connection) -> None:
            moved = db.executemany(_MOVE, moves).rowcount if moves else 0
            if moved != len(moves) or db.execute(_IS_MEMBER, (self.group, name)).fetchone() is None:
                raise fenced(self.group)

        self._log.append(out, move)

    def leave(self, name: str) -> None:
        # Its socket's end tells the others as well, only later.
        with contextlib.suppress(ModelpressError):
            self._change(leave=[name])

    def _look(self, name: str) -> None:
        """Put out members whose process has died; nothing rings then."""
        now_s = time.monotonic()
        if now_s - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = now_s
        if dead := [other for other in self._members() if other != name and self._log.board.is_dead(other)]:
            self._change(leave=dead)

    def _members(self) -> list[str]:
        return [name for (name,) in self._log.file.rows(_MEMBERS, (self.group,))]

    def _change(self, joins: Sequence[str] = (), leave: Sequence[str] = ()) -> None:
        with self._log.file.transaction() as db:
            db.executemany(_REMOVE, [(self.group, name) for name in leave])
            db.executemany("INSERT INTO members VALUES (?, ?)", [(self.group, name) for name in joins])
            members = [name for (name,) in db.execute(_MEMBERS, (self.group,))]
            self._share(db, members)
        self._log.board.ring(members)

    def _share(self, db: sqlite3.Connection, members: Sequence[str]) -> None:
        owners = dict(db.execute("SELECT partition, owner FROM positions WHERE member_group = ?", (self.group,)))
        wanted = share_out(list(self._partitions), members, owners)
        changed = [(self.group, number, owner) for number, owner in wanted.items() if owners.get(number) != owner]
        db.executemany(_GIVE, changed)


if TYPE_CHECKING:
    _: Bus = SqliteBus(Path())
