"""The store in a folder, shared by any number of processes of one machine.

<root>/<tenant>/blobs/sha256/<hex>    immutable bytes
<root>/<tenant>/results/<key>         created once
<root>/<tenant>/tags/<name>           one file a tag, its name percent-encoded: `a` and `a/b` can both be tags
<root>/<tenant>/slots/<key>           overwritten
<root>/<tenant>/tmp/                  what is being written
<root>/<tenant>/tags.lock             held while a tag is compared and swapped
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, unquote

from modelpress.artifacts.digest import Digest, digest_of, is_digest, parse_digest
from modelpress.artifacts.files import Folder, explaining_full, read_or_none
from modelpress.artifacts.names import check_key, check_tag, check_tenant
from modelpress.errors import CorruptBlobError, InputError, NotFoundError, StoreError

if TYPE_CHECKING:
    from modelpress.artifacts.store import Store

_ALGORITHM = "sha256"


class FilesystemBlobs:
    """Blobs as files named by their digest."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._root = folder.root / "blobs" / _ALGORITHM

    def put(self, chunks: Iterable[bytes]) -> Digest:
        hasher = hashlib.sha256()
        with self._folder.temporary(_hashed(chunks, hasher)) as temporary:
            digest = Digest(f"{_ALGORITHM}:{hasher.hexdigest()}")
            # A blob of another size was cut short by a power cut: what has its name is replaced, not trusted.
            if self.size(digest) != temporary.stat().st_size:
                self._folder.publish(temporary, self._path(digest))
        return digest

    def read(self, digest: Digest) -> bytes:
        path = self._path(digest)
        data = read_or_none(path)
        if data is None:
            raise NotFoundError(f"there is no blob {digest} in {self._root}")
        if digest_of(data) != digest:
            # Set aside, so that it counts as missing: the step that made it, or a push, makes it again.
            with contextlib.suppress(FileNotFoundError):
                path.replace(path.with_suffix(".corrupt"))
            raise CorruptBlobError(digest, str(path))
        return data

    def size(self, digest: Digest) -> int | None:
        try:
            return self._path(digest).stat().st_size
        except FileNotFoundError:
            return None

    def discard(self, digest: Digest) -> None:
        self._path(digest).unlink(missing_ok=True)

    def matching(self, prefix: str) -> Iterator[Digest]:
        digests = (Digest(f"{_ALGORITHM}:{name}") for name in sorted(os.listdir(self._root)))
        yield from (digest for digest in digests if digest.startswith(prefix) and is_digest(digest))

    def _path(self, digest: Digest) -> Path:
        return self._root / parse_digest(digest).removeprefix(f"{_ALGORITHM}:")


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
        self._path(key).unlink(missing_ok=True)

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
        with self._locked():
            if self.get(name) != expected:
                return False
            self._folder.write(self._path(name), parse_digest(new).encode())
            return True

    def names(self) -> Iterator[str]:
        yield from sorted(unquote(name) for name in os.listdir(self._root))

    def _path(self, name: str) -> Path:
        return self._root / quote(check_tag(name), safe="")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with open(self._folder.root / "tags.lock", "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


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
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)


class FilesystemStore:
    """The four ports of one tenant below ``root``, which is made where it is missing.

    ``durability`` says what a finished write survives: ``process``, the death of any process; ``power``, a power cut
    too, for the price of two fsyncs a write.

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
        folder.sweep()
        self.blobs = FilesystemBlobs(folder)
        self.results = FilesystemResults(folder)
        self.tags = FilesystemTags(folder)
        self.slots = FilesystemSlots(folder)


def _hashed(chunks: Iterable[bytes], hasher: hashlib._Hash) -> Iterator[bytes]:
    for chunk in chunks:
        hasher.update(chunk)
        yield chunk


if TYPE_CHECKING:
    _: Store = FilesystemStore(Path())
