import pytest

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.memory import MemoryStore
from modelpress.artifacts.store import Store
from modelpress.testing.store import StoreContract


class TestMemoryStore(StoreContract):
    memory: MemoryStore

    @pytest.fixture
    def store(self) -> Store:
        self.memory = MemoryStore()
        return self.memory

    def raw_get(self, store: Store, digest: Digest) -> bytes | None:
        return self.memory.blobs.data.get(digest)

    def corrupt(self, store: Store, digest: Digest, data: bytes) -> None:
        self.memory.blobs.data[digest] = data

    def backdate(self, store: Store, name: str, by_s: float) -> None:
        ages = self.memory.slots.ages if name in self.memory.slots.data else self.memory.blobs.ages
        ages.since_s[name] -= by_s
