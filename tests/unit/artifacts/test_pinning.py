"""Processes write and find what others collect at the same moment."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from modelpress.artifacts import files
from modelpress.artifacts.digest import Digest
from modelpress.artifacts.filesystem import FilesystemStore
from tests.unit.artifacts.made import KEY, blob_path

COLLECTOR = """
import time
from modelpress.artifacts.gc import collect
removed = 0
until = time.monotonic() + 60
while not stop.exists() and time.monotonic() < until:
    removed += len(collect(store, [], (), grace_s=3600).blobs)
print(removed)
"""

PUTTER = """
import os
for i in range(3000):
    digest = store.blobs.put([b"data"])
    assert store.blobs.read(digest) == b"data", i
    os.utime(root / "default/blobs/sha256" / digest.removeprefix("sha256:"), (1, 1))
print("done")
"""

ARTIST = """
import os, json
from modelpress.artifacts.manifest import get_manifest, put_artifact
from modelpress.artifacts.refs import broken_blobs
from modelpress.catalogue import Kind
hits = 0
for i in range(300):
    digest = put_artifact(store, Kind.MODEL, {}, {"one": b"1", "two": b"2"})
    blobs = (digest, *get_manifest(store, digest).blobs())
    assert all(store.blobs.size(blob) is not None for blob in blobs), i
    for blob in blobs:
        os.utime(root / "default/blobs/sha256" / blob.removeprefix("sha256:"), (1, 1))
    if not broken_blobs(store, digest):
        hits += 1
        assert [store.blobs.read(blob) for blob in blobs[1:]] == [b"1", b"2"], i
    for blob in blobs:
        try:
            os.utime(root / "default/blobs/sha256" / blob.removeprefix("sha256:"), (1, 1))
        except FileNotFoundError:
            pass
print(hits)
"""


def start(root: Path, body: str) -> subprocess.Popen[str]:
    """A process that runs ``body`` when it gets a line."""
    script = f"""
from pathlib import Path
import modelpress.artifacts.gc, modelpress.artifacts.refs
from modelpress.artifacts.filesystem import FilesystemStore
root, stop = Path({str(root)!r}), Path({str(root)!r}) / "stop"
store = FilesystemStore(root)
print("ready", flush=True)
input()
"""
    command = [sys.executable, "-c", script + body]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def hammer(root: Path, body: str) -> tuple[int, str]:
    """Run ``body`` beside a collector; how many blobs that removed, and what the body said last."""
    processes = [start(root, COLLECTOR), start(root, body)]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = processes[1].communicate(timeout=60)[0].split()
        (root / "stop").touch()
        removed = processes[0].communicate(timeout=60)[0].split()
        assert [process.returncode for process in processes] == [0, 0]
        return int(removed[-1]), said[-1]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_a_blob_that_a_put_found_is_not_collected(tmp_path: Path) -> None:
    removed, said = hammer(tmp_path, PUTTER)
    assert said == "done"
    assert removed > 0, "they met"


def test_an_artifact_that_was_put_or_found_whole_stays_whole(tmp_path: Path) -> None:
    removed, hits = hammer(tmp_path, ARTIST)
    assert removed > 0, "they met"
    assert int(hits) > 0, "they met"


TOUCHES: dict[str, Callable[[FilesystemStore, Digest], object]] = {
    "put": lambda store, digest: store.blobs.put([b"data"]),
    "refresh": lambda store, digest: store.upkeep.refresh(digest),
    "save": lambda store, digest: store.slots.save(KEY, b"new"),
}


@pytest.mark.parametrize("touch", TOUCHES)
def test_what_is_touched_between_the_look_and_the_removal_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, touch: str
) -> None:
    store = FilesystemStore(tmp_path)
    digest = store.blobs.put([b"data"])
    store.slots.save(KEY, b"old")
    for path in (blob_path(tmp_path, digest), tmp_path / "default/slots" / KEY):
        os.utime(path, (1, 1))
    told: list[object] = []
    toucher = threading.Thread(target=lambda: told.append(TOUCHES[touch](store, digest)))
    real_age_s = files.age_s

    def age_s(status: os.stat_result) -> float:
        """As it was when it was looked at; the toucher has its chance before the removal."""
        toucher.start()
        toucher.join(0.3)
        return real_age_s(status)

    with monkeypatch.context() as patch:
        patch.setattr(files, "age_s", age_s)
        removed = store.upkeep.remove_slot(KEY, 60) if touch == "save" else store.upkeep.remove_blob(digest, 60)
    toucher.join()
    assert removed
    if touch == "save":
        assert store.slots.load(KEY) == b"new"
    else:
        assert (store.blobs.size(digest) is not None) == (told != [None]), "who was told that it is there has it"
