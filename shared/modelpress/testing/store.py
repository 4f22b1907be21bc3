"""The suite that every artifact store passes, adapters and wrappers alike.

A test module subclasses `StoreContract` (or `SharedStoreContract`, where processes share a store), gives the ``store``
fixture and the hooks that read and spoil bytes *past* the port, and has all tests.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO

import pytest

from modelpress.artifacts.digest import Digest, digest_of
from modelpress.artifacts.store import Store
from modelpress.artifacts.streams import CHUNK_BYTES
from modelpress.errors import CorruptBlobError, InputError, NotFoundError
from modelpress.testing.store_upkeep import KEY, OTHER_KEY, UpkeepContract


class StoreContract(UpkeepContract):
    """What any store promises, within one process."""

    @pytest.fixture
    def store(self) -> Store:
        """An empty store."""
        raise NotImplementedError

    def raw_get(self, store: Store, digest: Digest) -> bytes | None:
        """The bytes that lie where the store keeps the blob, read past the port; None when there are none."""
        raise NotImplementedError

    def corrupt(self, store: Store, digest: Digest, data: bytes) -> None:
        """Put ``data`` where the store keeps the blob, past the port."""
        raise NotImplementedError

    def test_a_blob_is_kept_as_it_was_under_its_digest(self, store: Store) -> None:
        digest = store.blobs.put([b"one ", b"", b"two"])
        assert digest == "sha256:" + hashlib.sha256(b"one two").hexdigest()
        assert self.raw_get(store, digest) == b"one two"
        assert store.blobs.read(digest) == b"one two"
        assert store.blobs.size(digest) == 7

    def test_an_empty_blob_is_a_blob(self, store: Store) -> None:
        digest = store.blobs.put([])
        assert store.blobs.read(digest) == b""
        assert list(store.blobs.open(digest)) == []
        assert store.blobs.size(digest) == 0

    @pytest.mark.parametrize("size_bytes", [1, CHUNK_BYTES, 3 * CHUNK_BYTES + 7])
    def test_a_blob_comes_in_chunks(self, store: Store, size_bytes: int) -> None:
        data = bytes(range(256)) * (size_bytes // 256) + b"x" * (size_bytes % 256)
        digest = store.blobs.put(data[at : at + 400_000] for at in range(0, size_bytes, 400_000))
        assert digest == digest_of(data)
        chunks = list(store.blobs.open(digest))
        assert b"".join(chunks) == data
        assert max(map(len, chunks)) <= CHUNK_BYTES

    @pytest.mark.parametrize("at", [0, 3 * CHUNK_BYTES])
    def test_the_end_of_a_corrupt_blob_does_not_come(self, store: Store, at: int) -> None:
        data = bytearray(b"o" * (3 * CHUNK_BYTES + 7))
        digest = store.blobs.put([bytes(data)])
        data[at] ^= 1
        self.corrupt(store, digest, bytes(data))
        came: list[bytes] = []
        with pytest.raises(CorruptBlobError, match=digest):
            came.extend(store.blobs.open(digest))
        assert sum(map(len, came)) <= 3 * CHUNK_BYTES
        assert store.blobs.size(digest) is None, "it counts as missing from then on"
        with pytest.raises(NotFoundError, match=digest):
            list(store.blobs.open(digest))
        assert store.blobs.read(store.blobs.put([b"o" * len(data)])) == b"o" * len(data)

    def test_half_a_blob_can_be_read_and_left(self, store: Store) -> None:
        digest = store.blobs.put([b"o" * (3 * CHUNK_BYTES)])
        assert next(iter(store.blobs.open(digest))) == b"o" * CHUNK_BYTES

    def test_putting_twice_keeps_one(self, store: Store) -> None:
        assert store.blobs.put([b"same"]) == store.blobs.put([b"sa", b"me"])
        assert list(store.blobs.matching("sha256:")) == [digest_of(b"same")]

    def test_an_absent_blob_is_named(self, store: Store) -> None:
        absent = digest_of(b"never put")
        assert store.blobs.size(absent) is None
        with pytest.raises(NotFoundError, match=absent):
            store.blobs.read(absent)
        with pytest.raises(NotFoundError, match=absent):
            list(store.blobs.open(absent))
        store.blobs.discard(absent)

    @pytest.mark.parametrize("spoiled", [b"x" + b"o" * 99, b"o" * 50, b""], ids=["altered", "truncated", "emptied"])
    def test_a_corrupt_blob_is_named_and_can_be_made_again(self, store: Store, spoiled: bytes) -> None:
        digest = store.blobs.put([b"o" * 100])
        self.corrupt(store, digest, spoiled)
        with pytest.raises(CorruptBlobError, match=digest) as caught:
            store.blobs.read(digest)
        assert caught.value.digest == digest
        store.blobs.discard(digest)
        assert store.blobs.size(digest) is None
        assert store.blobs.put([b"o" * 100]) == digest
        assert store.blobs.read(digest) == b"o" * 100

    def test_a_truncated_blob_is_replaced_when_put_again(self, store: Store) -> None:
        digest = store.blobs.put([b"whole"])
        self.corrupt(store, digest, b"who")
        store.blobs.put([b"whole"])
        assert store.blobs.read(digest) == b"whole"

    def test_chunks_that_break_off_leave_nothing(self, store: Store) -> None:
        def chunks() -> Iterator[bytes]:
            yield b"half"
            raise ConnectionError("the sender went away")

        with pytest.raises(ConnectionError, match="went away"):
            store.blobs.put(chunks())
        assert list(store.blobs.matching("sha256:")) == []
        assert self.raw_get(store, digest_of(b"half")) is None

    def test_blobs_are_found_by_the_beginning_of_their_digest(self, store: Store) -> None:
        digests = sorted(store.blobs.put([str(i).encode()]) for i in range(40))
        assert list(store.blobs.matching("sha256:")) == digests
        for digest in digests:
            assert list(store.blobs.matching(digest[:20])) == [digest]
        assert list(store.blobs.matching(digests[0])) == [digests[0]]
        assert list(store.blobs.matching(digest_of(b"absent")[:20])) == []

    @pytest.mark.parametrize("bad", ["", "sha256:", "sha256:../../etc/passwd", "md5:" + "0" * 64, "sha256:" + "A" * 64])
    def test_what_is_no_digest_is_refused(self, store: Store, bad: str) -> None:
        for call in (store.blobs.read, store.blobs.size, store.blobs.discard):
            with pytest.raises(InputError, match="no digest"):
                call(Digest(bad))
        with pytest.raises(InputError, match="no digest"):
            list(store.blobs.open(Digest(bad)))

    def test_a_discarded_blob_can_be_put_again(self, store: Store) -> None:
        digest = store.blobs.put([b"data"])
        store.blobs.discard(digest)
        assert store.blobs.size(digest) is None
        assert list(store.blobs.matching("sha256:")) == []
        assert store.blobs.read(store.blobs.put([b"data"])) == b"data"

    def test_the_first_result_stands(self, store: Store) -> None:
        assert store.results.get(KEY) is None
        assert store.results.create(KEY, b"first") == b"first"
        assert store.results.create(KEY, b"second") == b"first"
        assert store.results.get(KEY) == b"first"
        assert store.results.get(OTHER_KEY) is None

    def test_a_discarded_result_can_be_made_again(self, store: Store) -> None:
        store.results.create(KEY, b"first")
        store.results.discard(KEY)
        store.results.discard(KEY)
        assert store.results.get(KEY) is None
        assert list(store.results.keys()) == []
        assert store.results.create(KEY, b"second") == b"second"

    def test_results_are_listed_by_key(self, store: Store) -> None:
        keys = sorted(hashlib.sha256(bytes([i])).hexdigest() for i in range(20))
        for key in reversed(keys):
            store.results.create(key, b"result")
        assert list(store.results.keys()) == keys

    def test_one_of_many_threads_creates_the_result(self, store: Store) -> None:
        keys = [hashlib.sha256(bytes([i])).hexdigest() for i in range(20)]
        values = [f"value {i}".encode() for i in range(8)]
        with ThreadPoolExecutor(len(values)) as pool:
            seen = list(pool.map(lambda value: [store.results.create(key, value) for key in keys], values))
        accepted = [store.results.get(key) for key in keys]
        assert set(accepted) <= set(values)
        assert seen == [accepted] * len(values)

    def test_a_tag_is_made_once_and_moved_knowingly(self, store: Store) -> None:
        one, two = digest_of(b"1"), digest_of(b"2")
        assert store.tags.get("fashion/resnet") is None
        assert not store.tags.swap("fashion/resnet", one, two)
        assert store.tags.swap("fashion/resnet", None, one)
        assert not store.tags.swap("fashion/resnet", None, two)
        assert not store.tags.swap("fashion/resnet", two, two)
        assert store.tags.get("fashion/resnet") == one
        assert store.tags.swap("fashion/resnet", one, two)
        assert store.tags.get("fashion/resnet") == two

    def test_a_tag_is_removed_knowingly_and_can_be_made_again(self, store: Store) -> None:
        one, two = digest_of(b"1"), digest_of(b"2")
        assert not store.tags.remove("name", one), "there is none"
        store.tags.swap("name", None, one)
        assert not store.tags.remove("name", two)
        assert store.tags.get("name") == one
        assert store.tags.remove("name", one)
        assert not store.tags.remove("name", one)
        assert store.tags.get("name") is None
        assert list(store.tags.names()) == []
        assert not store.tags.swap("name", one, two), "what was removed is not moved"
        assert store.tags.swap("name", None, two)
        assert store.tags.get("name") == two

    def test_tags_are_listed_by_name(self, store: Store) -> None:
        names = ["a", "a/b", "a.b/c-d_e", "B", "x" * 128]
        for name in names:
            assert store.tags.swap(name, None, digest_of(name.encode()))
        assert list(store.tags.names()) == sorted(names)
        assert [store.tags.get(name) for name in names] == [digest_of(name.encode()) for name in names]

    @pytest.mark.parametrize(
        "bad", ["", "/", "a/", "/a", "a//b", "..", "a/../b", ".", "a b", "ü", "a\0", "a\n", "x" * 129]
    )
    def test_what_is_no_name_for_a_tag_is_refused(self, store: Store, bad: str) -> None:
        with pytest.raises(InputError, match="tag"):
            store.tags.get(bad)
        with pytest.raises(InputError, match="tag"):
            store.tags.swap(bad, None, digest_of(b""))
        with pytest.raises(InputError, match="tag"):
            store.tags.remove(bad, digest_of(b""))

    def test_a_tag_points_to_digests_only(self, store: Store) -> None:
        with pytest.raises(InputError, match="no digest"):
            store.tags.swap("a", None, Digest("latest"))
        assert list(store.tags.names()) == []

    def test_a_slot_keeps_what_was_saved_last(self, store: Store) -> None:
        assert store.slots.load(KEY) is None
        store.slots.save(KEY, b"epoch 1")
        store.slots.save(KEY, b"epoch 2")
        assert store.slots.load(KEY) == b"epoch 2"
        assert store.slots.load(OTHER_KEY) is None
        store.slots.save(OTHER_KEY, b"")
        assert list(store.slots.keys()) == [KEY, OTHER_KEY]
        store.slots.discard(KEY)
        store.slots.discard(KEY)
        assert store.slots.load(KEY) is None
        assert store.slots.load(OTHER_KEY) == b""
        assert list(store.slots.keys()) == [OTHER_KEY]

    @pytest.mark.parametrize("bad", ["", "ab", "AB" * 32, "../" + "a" * 61, "ab" * 32 + "\n"])
    def test_what_is_no_key_is_refused(self, store: Store, bad: str) -> None:
        for call in (store.results.get, store.results.discard, store.slots.load, store.slots.discard):
            with pytest.raises(InputError, match="no step key"):
                call(bad)
        with pytest.raises(InputError, match="no step key"):
            store.results.create(bad, b"")
        with pytest.raises(InputError, match="no step key"):
            store.slots.save(bad, b"")


class SharedStoreContract(StoreContract):
    """What a store that many processes share promises besides."""

    def opening(self, store: Store) -> str:
        """Python statements that open the same store in another process, as ``store``."""
        raise NotImplementedError

    def test_one_of_many_processes_creates_the_result(self, store: Store) -> None:
        keys = [hashlib.sha256(bytes([i])).hexdigest() for i in range(50)]
        body = f"""
            for key in {keys!r}:
                print(store.results.create(key, name.encode()).decode())
        """
        told = self._race(store, body, count=6)
        accepted = [(store.results.get(key) or b"").decode() for key in keys]
        assert set(accepted) <= {str(i) for i in range(6)}
        assert told == [accepted] * 6

    def test_one_of_many_processes_makes_the_tag(self, store: Store) -> None:
        body = """
            for i in range(50):
                print(store.tags.swap(f"tag-{i}", None, digest_of(name.encode())))
        """
        told = self._race(store, body, count=6)
        for i in range(50):
            winners = [n for n in range(6) if told[n][i] == "True"]
            assert [digest_of(str(n).encode()) for n in winners] == [store.tags.get(f"tag-{i}")]

    def test_one_of_many_processes_removes_the_tag(self, store: Store) -> None:
        tags = {f"tag-{i}": digest_of(bytes([i])) for i in range(50)}
        for tag, digest in tags.items():
            store.tags.swap(tag, None, digest)
        body = f"""
            for tag, digest in {tags!r}.items():
                print(store.tags.remove(tag, digest))
        """
        told = self._race(store, body, count=4)
        assert [sum(lines[i] == "True" for lines in told) for i in range(50)] == [1] * 50
        assert list(store.tags.names()) == []

    def test_no_move_of_a_tag_is_lost(self, store: Store) -> None:
        start = digest_of(b"start")
        assert store.tags.swap("chain", None, start)
        body = """
            moved = 0
            while moved < 15:
                old = store.tags.get("chain")
                new = digest_of(f"{old} {name} {moved}".encode())
                if store.tags.swap("chain", old, new):
                    print(old, new)
                    moved += 1
        """
        moves = dict(line.split() for lines in self._race(store, body, count=4) for line in lines)
        at, count = str(start), 0
        while at in moves:
            at, count = moves[at], count + 1
        assert count == 4 * 15
        assert store.tags.get("chain") == at

    def test_processes_that_put_one_blob_agree(self, store: Store) -> None:
        body = """
            for i in range(20):
                print(store.blobs.put([b"%d " % i * 5_000] * 4))
        """
        told = self._race(store, body, count=4)
        assert told == [told[0]] * 4
        assert [digest_of(store.blobs.read(Digest(line))) for line in told[0]] == told[0]

    def test_a_killed_writer_leaves_nothing_to_see(self, store: Store) -> None:
        data = [b"part" * 100_000, b"rest"]
        body = """
            def chunks():
                yield b"part" * 100_000
                print("half way", flush=True)
                input()
                yield b"rest"
            store.blobs.put(chunks())
        """
        with self._process(store, body, "writer") as writer:
            assert _pipe(writer.stdout).readline() == "half way\n"
            writer.kill()
        assert writer.returncode == -9
        assert list(store.blobs.matching("sha256:")) == []
        for part in (b"".join(data), data[0]):
            assert store.blobs.size(digest_of(part)) is None
            assert self.raw_get(store, digest_of(part)) is None
        assert store.blobs.read(store.blobs.put(data)) == b"".join(data)

    def _race(self, store: Store, body: str, count: int) -> list[list[str]]:
        """Lines that each of ``count`` processes printed; all of them were ready before the first began."""
        waiting = "print('ready', flush=True)\ninput()\n" + textwrap.dedent(body)
        racers = [self._process(store, waiting, str(i)) for i in range(count)]
        for racer in racers:
            assert _pipe(racer.stdout).readline() == "ready\n"
        for racer in racers:
            _pipe(racer.stdin).write("go\n")
            _pipe(racer.stdin).flush()
        printed = [racer.communicate(timeout=60)[0].splitlines() for racer in racers]
        assert [racer.returncode for racer in racers] == [0] * count
        return printed

    def _process(self, store: Store, body: str, name: str) -> subprocess.Popen[str]:
        script = "\n".join(
            [
                "from modelpress.artifacts.digest import digest_of",
                self.opening(store),
                f"name = {name!r}",
                textwrap.dedent(body),
            ]
        )
        return subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream
