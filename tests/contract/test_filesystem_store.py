import os
import time
from pathlib import Path
from typing import Literal

import pytest

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.filesystem import FilesystemStore
from modelpress.artifacts.names import is_key
from modelpress.artifacts.store import Store
from modelpress.testing.store import SharedStoreContract


class TestFilesystemStore(SharedStoreContract):
    durability: Literal["process", "power"] = "process"
    root: Path

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        self.root = tmp_path
        return FilesystemStore(tmp_path, durability=self.durability)

    def opening(self, store: Store) -> str:
        return (
            "from pathlib import Path\n"
            "from modelpress.artifacts.filesystem import FilesystemStore\n"
            f"store = FilesystemStore(Path({str(self.root)!r}), durability={self.durability!r})"
        )

    def raw_get(self, store: Store, digest: Digest) -> bytes | None:
        path = self._path(digest)
        return path.read_bytes() if path.exists() else None

    def corrupt(self, store: Store, digest: Digest, data: bytes) -> None:
        self._path(digest).write_bytes(data)

    def backdate(self, store: Store, name: str, by_s: float) -> None:
        path = self.root / "default" / "slots" / name if is_key(name) else self._path(Digest(name))
        then_s = time.time() - by_s
        os.utime(path, (then_s, then_s))

    def _path(self, digest: Digest) -> Path:
        return self.root / "default" / "blobs" / "sha256" / digest.removeprefix("sha256:")


class TestFilesystemStoreThatSurvivesPowerCuts(TestFilesystemStore):
    durability: Literal["process", "power"] = "power"
