"""Wake-ups of readers: something for ``select``, in one process or between those of one machine.

A writer rings a reader by a byte to its socket. Between processes each socket is bound in one folder, under its
reader's name. Who is dead is told by that too: the system closes the socket of a process, whatever ended it, and
nobody answers under the name.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import select
import socket
import weakref
from collections.abc import Iterable
from pathlib import Path

from modelpress.errors import BusError

_RING = b"!"
_MAX_FOLDER_BYTES = 80
"""Every system takes 103 bytes as the address of a socket; its name needs some."""
_DESCRIPTORS = Path("/proc/self/fd")

_open: weakref.WeakSet[socket.socket] = weakref.WeakSet()


class Doorbell:
    """Wakes one reader: ``fileno()`` is readable from `ring` until `clear`. Any thread may ring."""

    def __init__(self, name: str, ear: socket.socket, button: socket.socket) -> None:
        self.name = name
        self._ear = ear
        self._button = button
        self._poll = select.poll()
        self._poll.register(ear, select.POLLIN)

    @classmethod
    def private(cls, name: str) -> Doorbell:
        """A bell that only this process can ring."""
        ear, button = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        return cls(name, _kept(ear), _kept(button))

    def fileno(self) -> int:
        return self._ear.fileno()

    def ring(self) -> None:
        # A full socket rings already.
        with contextlib.suppress(BlockingIOError):
            self._button.send(_RING)

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._ear.recv(1):
                pass

    def wait(self, timeout_s: float) -> None:
        """Until it rings, but not longer."""
        self._poll.poll(math.ceil(timeout_s * 1000))

    def close(self) -> None:
        self._ear.close()
        self._button.close()


class BellBoard:
    """The doorbells of all processes that share ``folder``, which is made where it is missing.

    Raises:
        BusError: the folder cannot be made or used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            self._handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as e:
            raise BusError(
                f"the bus cannot use the folder {folder} ({e.strerror}): name a home on a local disk that you can write"
            ) from e
        self._sender = _socket()
        self._prefix = self._short(folder)

    def fileno(self) -> int:
        """The folder's descriptor, which processes may lock."""
        return self._handle

    def hang(self, name: str) -> Doorbell:
        """A new bell under ``name``.

        Raises:
            BusError: sockets cannot be bound there.
        """
        ear, button = _socket(), _socket()
        try:
            ear.bind(f"{self._prefix}/{name}")
            button.connect(f"{self._prefix}/{name}")
        except OSError as e:
            ear.close()
            button.close()
            raise BusError(
                f"no socket can be bound in {self._folder} ({e.strerror or e}): name a home on a local disk, with a "
                f"path of less than {_MAX_FOLDER_BYTES - 20} bytes"
            ) from e
        return Doorbell(name, ear, button)

    def take_down(self, name: str) -> None:
        """Nobody can ring ``name`` any more."""
        (self._folder / name).unlink(missing_ok=True)

    def ring(self, names: Iterable[str]) -> list[str]:
        """Wake the readers ``names``; those that are dead are told, and taken down."""
        return [name for name in names if not self._rang(name)]

    def is_dead(self, name: str) -> bool:
        """Whether the process that hung ``name`` has ended. One that was stopped (SIGSTOP) lives."""
        with _socket() as probe:
            try:
                probe.connect(f"{self._prefix}/{name}")
            except (ConnectionRefusedError, FileNotFoundError):
                return True
            except OSError:
                # Somebody is there who cannot be reached just now.
                return False
        return False

    def close(self) -> None:
        self._sender.close()
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = -1

    def _rang(self, name: str) -> bool:
        try:
            self._sender.sendto(_RING, f"{self._prefix}/{name}")
        except (ConnectionRefusedError, FileNotFoundError):
            self.take_down(name)
            return False
        except OSError:
            # The log has the records: who cannot be woken (a full socket, another user's) finds them when it looks.
            return True
        return True

    def _short(self, folder: Path) -> str:
        """The folder's path, short enough for the address of a socket in it however deep it lies."""
        if len(os.fsencode(folder)) <= _MAX_FOLDER_BYTES or not _DESCRIPTORS.is_dir():
            return str(folder)
        return f"{_DESCRIPTORS}/{self._handle}"


def _socket() -> socket.socket:
    return _kept(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))


def _kept(made: socket.socket) -> socket.socket:
    """``made``, never blocking, and closed in children that are forked: they would outlive their parent as readers."""
    _guard_forks()
    made.setblocking(False)
    _open.add(made)
    return made


@functools.cache
def _guard_forks() -> None:
    os.register_at_fork(after_in_child=_close_inherited)


def _close_inherited() -> None:
    for inherited in list(_open):
        inherited.close()
