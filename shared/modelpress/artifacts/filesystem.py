"""The store in a folder, shared by any number of processes of one machine.

<root>/<tenant>/blobs/sha256/<hex>    immutable bytes
<root>/<tenant>/results/<key>         created once
<root>/<tenant>/tags/<name>           one file a tag, its name percent-encoded: `a` and `a/b` can both be tags
<root>/<tenant>/slots/<key>           overwritten
<root>/<tenant>/tmp/                  what is being written
<root>/<tenant>/tags.lock             held while a tag is compared and swapped
<root>/<tenant>/removal.lock          shared by who writes, held alone by who removes something for its age

A blob or slot is as old as its file's time of modification says. A blob that was found corrupt lies beside the others
as ``<hex>.corrupt`` until `FilesystemUpkeep.sweep`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, unquote

from modelpress.artifacts.digest import Digest, digest_of, is_digest, parse_digest
from modelpress.artifacts.files import Folder, age_s, explaining, explaining_full, read_or_none, remove
from modelpress.artifacts.names import check_key, check_tag, check_tenant, is_key
from modelpress.artifacts.store import Entry
from modelpress.artifacts.streams import StreamHasher, chunks_of, verified
from modelpress.errors import CorruptBlobError, InputError, NotFoundError, StoreError

if TYPE_CHECKING:
    from modelpress.artifacts.store import Store

_ALGORITHM = "sha256"
_CORRUPT = ".corrupt"
_TAGS_LOCK = "tags.lock"


class FilesystemBlobs:
    """Blobs as files named by their digest."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._root = folder.root / "blobs" / _ALGORITHM

    def put(self, chunks: Iterable[bytes]) -> Digest:
        folder = self._folder
        with contextlib.closing(StreamHasher()) as hasher, folder.temporary(hasher.passing(chunks)) as temporary:
            digest = hasher.digest()
            path = _blob_path(folder, digest)
            with folder.staying():
                # A blob of another size was cut short by a power cut: what has its name is replaced, not trusted.
                if folder.refresh_held(path) != temporary.stat().st_size:
                    folder.publish(temporary, path)
        return digest

    def open(self, digest: Digest) -> Iterator[bytes]:
        try:
            with open(self._path(digest), "rb", buffering=0) as file:
                yield from verified(chunks_of(file), digest, lambda: self._set_aside(digest))
        except FileNotFoundError as e:
            raise self._absent(digest) from e

    def read(self, digest: Digest) -> bytes:
        data = read_or_none(self._path(digest))
        if data is None:
            raise self._absent(digest)
        if digest_of(data) != digest:
            raise self._set_aside(digest)
        return data

    def size(self, digest: Digest) -> int | None:
        try:
            return self._path(digest).stat().st_size
        except FileNotFoundError:
            return None

    def discard(self, digest: Digest) -> None:
        self._folder.remove(self._path(digest))

    def matching(self, prefix: str) -> Iterator[Digest]:
        digests = (Digest(f"{_ALGORITHM}:{name}") for name in sorted(os.listdir(self._root)))
        yield from (digest for digest in digests if digest.startswith(prefix) and is_digest(digest))

    def _path(self, digest: Digest) -> Path:
        return _blob_path(self._folder, digest)

    def _absent(self, digest: Digest) -> NotFoundError:
        return NotFoundError(f"there is no blob {digest} in {self._root}")

    def _set_aside(self, digest: Digest) -> CorruptBlobError:
        """Let a blob count as missing, so that the step that made it, or a push, makes it again."""
        path = self._path(digest)
        aside = path.with_suffix(_CORRUPT)
        # In a store that cannot be written it stays where it is, and every read finds it corrupt again.
        with contextlib.suppress(FileNotFoundError, StoreError), explaining(self._folder.root):
            path.replace(aside)
            os.utime(aside)
        return CorruptBlobError(digest, str(path))


class FilesystemResults:
    """Results as files that are linked to their name, which only the first writer can do."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._root = folder.root / "results"

    def create(self, key: str, value: bytes) -> bytes:
        target = self._path(key)
        with self._folder.temporary([value]) as temporary:
            # Between a lost create and the read, another process may discard what won: then the key is free again.
            while not self._folder.publish_once(temporary, target):
                accepted = read_or_none(target)
                if accepted is not None:
                    return accepted
        return value

    def get(self, key: str) -> bytes | None:
        return read_or_none(self._path(key))

    def discard(self, key: str) -> None:
        self._folder.remove(self._path(key))

    def keys(self) -> Iterator[str]:
        yield from sorted(filter(is_key, os.listdir(self._root)))

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)


class FilesystemTags:
    """Tags as small files, swapped under a lock of the operating system, which ends with its holder."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._root = folder.root / "tags"

    def get(self, name: str) -> Digest | None:
        data = read_or_none(self._path(name))
        if data is None:
            return None
        text = data.decode("ascii", errors="replace")
        if not is_digest(text):
            raise StoreError(f"the tag '{name}' at {self._path(name)} holds no digest: remove the file and tag again")
        return Digest(text)

    def swap(self, name: str, expected: Digest | None, new: Digest) -> bool:
        with self._folder.locked(_TAGS_LOCK):
            if self.get(name) != expected:
                return False
            self._folder.write(self._path(name), parse_digest(new).encode())
            return True

    def remove(self, name: str, expected: Digest) -> bool:
        with self._folder.locked(_TAGS_LOCK):
            if self.get(name) != parse_digest(expected):
                return False
            self._folder.remove(self._path(name))
            return True

    def names(self) -> Iterator[str]:
        yield from sorted(unquote(name) for name in os.listdir(self._root))

    def _path(self, name: str) -> Path:
        return self._root / quote(check_tag(name), safe="")


class FilesystemSlots:
    """Slots as files that are replaced whole."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._root = folder.root / "slots"

    def load(self, key: str) -> bytes | None:
        return read_or_none(self._path(key))

    def save(self, key: str, data: bytes) -> None:
        self._folder.write(self._path(key), data)

    def discard(self, key: str) -> None:
        self._folder.remove(self._path(key))

    def keys(self) -> Iterator[str]:
        yield from sorted(filter(is_key, os.listdir(self._root)))

    def _path(self, key: str) -> Path:
        return _slot_path(self._folder, key)


class FilesystemUpkeep:
    """Ages are those of files, and go by the wall clock."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def refresh(self, digest: Digest) -> int | None:
        return self._folder.refresh(_blob_path(self._folder, digest))

    def blobs(self) -> Iterator[Entry]:
        for entry in _entries(self._folder.root / "blobs" / _ALGORITHM):
            digest = f"{_ALGORITHM}:{entry.name}"
            if is_digest(digest):
                yield entry._replace(name=digest)

    def slots(self) -> Iterator[Entry]:
        yield from (entry for entry in _entries(self._folder.root / "slots") if is_key(entry.name))

    def remove_blob(self, digest: Digest, older_than_s: float) -> bool:
        return self._folder.remove_old(_blob_path(self._folder, digest), older_than_s)

    def remove_slot(self, key: str, older_than_s: float) -> bool:
        return self._folder.remove_old(_slot_path(self._folder, key), older_than_s)

    def sweep(self, older_than_s: float, *, dry_run: bool = False) -> int:
        root = self._folder.root / "blobs" / _ALGORITHM
        old = [e.name for e in _entries(root) if e.name.endswith(_CORRUPT) and e.age_s > older_than_s]
        with explaining(self._folder.root):
            aside_bytes = sum(remove(root / name, dry_run=dry_run) for name in old)
        return aside_bytes + self._folder.sweep(dry_run=dry_run)


class FilesystemStore:
    """The ports of one tenant below ``root``, which is made where it is missing.

    ``durability`` says what a finished write survives: ``process``, the death of any process; ``power``, a power cut
    too, for the price of two fsyncs a write. A store that cannot be written can be read, if its folders are there.

    Raises:
        InputError: ``root`` cannot be made, or ``tenant`` is no name.
        StoreFullError: there is no space for the folders.
    """

    def __init__(
        self, root: Path, tenant: str = "default", durability: Literal["process", "power"] = "process"
    ) -> None:
        folder = Folder(root / check_tenant(tenant), sync=durability == "power")
        try:
            with explaining_full(root):
                folder.make(f"blobs/{_ALGORITHM}", "results", "tags", "slots")
        except OSError as e:
            raise InputError(f"no store can be made at {root} ({e.strerror}): name a folder that can be written") from e
        # The lock is made now, so that it need not be when the disk is full and things must go.
        with contextlib.suppress(StoreError), folder.staying():
            folder.sweep()
        self.blobs = FilesystemBlobs(folder)
        self.results = FilesystemResults(folder)
        self.tags = FilesystemTags(folder)
        self.slots = FilesystemSlots(folder)
        self.upkeep = FilesystemUpkeep(folder)


def _blob_path(folder: Folder, digest: Digest) -> Path:
    return folder.root / "blobs" / _ALGORITHM / parse_digest(digest).removeprefix(f"{_ALGORITHM}:")


def _slot_path(folder: Folder, key: str) -> Path:
    return folder.root / "slots" / check_key(key)


def _entries(root: Path) -> Iterator[Entry]:
    """Files of a folder; those that go while they are listed are left out."""
    for file in os.scandir(root):
        with contextlib.suppress(FileNotFoundError):
            status = file.stat(follow_symlinks=False)
            yield Entry(file.name, status.st_size, age_s(status))


if TYPE_CHECKING:
    _: Store = FilesystemStore(Path())
