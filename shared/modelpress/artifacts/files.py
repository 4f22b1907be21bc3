"""Files that are whole or absent: what `FilesystemStore` is built on.

Everything is written to a temporary file in the same tree and then renamed or linked to its name. A process that dies
leaves at most a temporary file, which nobody reads and a later `Folder.sweep` removes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from modelpress.errors import StoreError, StoreFullError

STALE_S = 3600.0
"""A temporary file that nobody has written to for so long has lost its writer."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
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


class Folder:
    """Atomic writes below ``root``, by way of temporary files in ``root/tmp``.

    With ``sync`` a file's bytes, and the name it gets, are on the device before a call returns: that survives a power
    cut. Without, the operating system keeps them, and that survives the death of any process.
    """

    def __init__(self, root: Path, *, sync: bool) -> None:
        self.root = root
        self._temporary = root / "tmp"
        self._sync = sync

    def make(self, *names: str) -> None:
        """Make the folder, its place for temporary files, and the folders ``names`` in it."""
        for path in (self._temporary, *(self.root / name for name in names)):
            path.mkdir(parents=True, exist_ok=True)

    def sweep(self) -> None:
        """Remove temporary files whose writers died long ago."""
        limit = time.time() - STALE_S
        for entry in os.scandir(self._temporary):
            with contextlib.suppress(FileNotFoundError):
                if entry.stat().st_mtime < limit:
                    os.unlink(entry.path)

    @contextlib.contextmanager
    def temporary(self, chunks: Iterable[bytes]) -> Iterator[Path]:
        """A temporary file with the concatenated ``chunks``, gone at the end unless `publish` renamed it.

        Raises:
            StoreFullError: no space is left.
        """
        with explaining_full(self.root):
            handle, name = tempfile.mkstemp(dir=self._temporary)
        path = Path(name)
        try:
            try:
                self._fill(handle, chunks)
            finally:
                os.close(handle)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def publish(self, temporary: Path, target: Path) -> None:
        """Give a temporary file its name, in place of what had it.

        Raises:
            StoreFullError: no space is left.
        """
        with explaining_full(self.root):
            os.replace(temporary, target)
            self._sync_folder(target.parent)

    def publish_once(self, temporary: Path, target: Path) -> bool:
        """Give a temporary file its name if nothing has it; of many processes exactly one is told True.

        Raises:
            StoreFullError: no space is left.
            StoreError: the file system cannot do it.
        """
        with explaining_full(self.root):
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
        with self.temporary([data]) as temporary:
            self.publish(temporary, target)

    def _fill(self, handle: int, chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            with explaining_full(self.root):
                _write_all(handle, chunk)
        if self._sync:
            with explaining_full(self.root):
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


def _write_all(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]
