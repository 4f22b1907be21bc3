"""Files that are whole or absent: what `FilesystemStore` is built on.

Everything is written to a temporary file in the same tree and then renamed or linked to its name. A process that dies
leaves at most a temporary file, which nobody reads and a later `Folder.sweep` removes.

Invariant: a file that was published or refreshed is not removed for its age before it has that age again. Who does
either holds `Folder.staying`; `Folder.remove_old` looks and removes while nobody does.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from modelpress.errors import StoreError, StoreFullError

STALE_S = 3600.0
"""A temporary file that nobody has written to for so long, and that nobody holds, has lost its writer."""

_REMOVAL_LOCK = "removal.lock"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_UNWRITABLE = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})


@contextlib.contextmanager
def explaining_full(root: Path) -> Iterator[None]:
    """Turn the system's "no space left" into `StoreFullError`; every other error passes."""
    try:
        yield
    except OSError as e:
        if e.errno not in _FULL:
            raise
        raise StoreFullError(
            f"no space is left for the store at {root}: what is stored stays readable; free some space and run again"
        ) from e


@contextlib.contextmanager
def explaining(root: Path) -> Iterator[None]:
    """As `explaining_full`, and turn "you may not write here" into `StoreError`."""
    try:
        with explaining_full(root):
            yield
    except OSError as e:
        if e.errno not in _UNWRITABLE:
            raise
        raise StoreError(
            f"the store at {root} cannot be written ({e.strerror}): what is stored can be read; "
            "make the folder writable, or use another home"
        ) from e


class Folder:
    """Atomic writes below ``root``, by way of temporary files in ``root/tmp``.

    With ``sync`` a file's bytes, and the name it gets, are on the device before a call returns: that survives a power
    cut. Without, the operating system keeps them, and that survives the death of any process.

    Raises (each method that writes):
        StoreFullError: no space is left.
        StoreError: the folder cannot be written.
    """

    def __init__(self, root: Path, *, sync: bool) -> None:
        self.root = root
        self._temporary = root / "tmp"
        self._sync = sync

    def make(self, *names: str) -> None:
        """Make the folder, its place for temporary files, and the folders ``names`` in it."""
        for path in (self._temporary, *(self.root / name for name in names)):
            path.mkdir(parents=True, exist_ok=True)

    def sweep(self, *, dry_run: bool = False) -> int:
        """Remove temporary files whose writers died long ago; the bytes that this frees."""
        with explaining(self.root):
            stale = (entry for entry in os.scandir(self._temporary) if _is_abandoned(entry.path))
            return sum(remove(Path(entry.path), dry_run=dry_run) for entry in stale)

    @contextlib.contextmanager
    def temporary(self, chunks: Iterable[bytes]) -> Iterator[Path]:
        """A temporary file with the concatenated ``chunks``, gone at the end unless `publish` renamed it."""
        with explaining(self.root):
            handle, name = tempfile.mkstemp(dir=self._temporary)
        path = Path(name)
        try:
            # Held by a living writer. Its age alone would tell nothing after the machine has slept.
            fcntl.flock(handle, fcntl.LOCK_EX)
            self._fill(handle, chunks)
            yield path
        finally:
            path.unlink(missing_ok=True)
            os.close(handle)

    def publish(self, temporary: Path, target: Path) -> None:
        """Give a temporary file its name, in place of what had it."""
        with explaining(self.root):
            os.replace(temporary, target)
            self._sync_folder(target.parent)

    def publish_once(self, temporary: Path, target: Path) -> bool:
        """Give a temporary file its name if nothing has it; of many processes exactly one is told True.

        Raises:
            StoreError: the file system cannot do it.
        """
        with explaining(self.root):
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
            except OSError as e:
                if e.errno not in _NO_LINKS:
                    raise
                raise StoreError(
                    f"the file system of {self.root} makes no hard links, which conditional writes need: "
                    "use a home on a local disk"
                ) from e
            self._sync_folder(target.parent)
        return True

    def write(self, target: Path, data: bytes) -> None:
        """Replace ``target`` with ``data``, atomically."""
        with self.temporary([data]) as temporary, self.staying():
            self.publish(temporary, target)

    def remove(self, target: Path) -> None:
        """Remove ``target``; absent is fine."""
        with explaining(self.root):
            target.unlink(missing_ok=True)

    def refresh(self, target: Path) -> int | None:
        """Make ``target`` as young as if it were written now; its size in bytes, None when it is absent."""
        with self.staying():
            return self.refresh_held(target)

    def refresh_held(self, target: Path) -> int | None:
        """As `refresh`, by who is in `staying`."""
        with explaining(self.root):
            try:
                os.utime(target)
                return os.stat(target).st_size
            except FileNotFoundError:
                return None

    def remove_old(self, target: Path, older_than_s: float) -> bool:
        """Remove ``target`` if it is older than that, however others write and refresh it; False when it is not."""
        with self.locked(_REMOVAL_LOCK), explaining(self.root):
            try:
                if age_s(target.stat()) <= older_than_s:
                    return False
                target.unlink()
            except FileNotFoundError:
                return False
        return True

    @contextlib.contextmanager
    def staying(self) -> Iterator[None]:
        """Meanwhile nothing is removed for its age."""
        with self.locked(_REMOVAL_LOCK, shared=True):
            yield

    @contextlib.contextmanager
    def locked(self, name: str, *, shared: bool = False) -> Iterator[None]:
        """Hold the lock ``name``, alone or with others who share it; the system releases it when the holder dies."""
        with explaining(self.root):
            handle = os.open(self.root / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _fill(self, handle: int, chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            with explaining(self.root):
                _write_all(handle, chunk)
        if self._sync:
            with explaining(self.root):
                os.fsync(handle)

    def _sync_folder(self, path: Path) -> None:
        if not self._sync:
            return
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_or_none(path: Path) -> bytes | None:
    """The file's bytes, None where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def age_s(status: os.stat_result) -> float:
    """Seconds since a file was written or refreshed; 0 when its time lies ahead, as after a clock was put back."""
    return max(0.0, time.time() - status.st_mtime)


def remove(path: Path, *, dry_run: bool = False) -> int:
    """Remove a file, or only look with ``dry_run``; the bytes that this frees, 0 when it is absent."""
    try:
        size_bytes = path.stat().st_size
    except FileNotFoundError:
        return 0
    if not dry_run:
        path.unlink(missing_ok=True)
    return size_bytes


def _is_abandoned(path: str) -> bool:
    try:
        if age_s(os.stat(path)) <= STALE_S:
            return False
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def _write_all(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]
