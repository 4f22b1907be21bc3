"""A run as one file: out of one store and into another, and what a file that somebody made up can do."""

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelpress.artifacts.digest import Digest, digest_of
from modelpress.artifacts.filesystem import FilesystemStore
from modelpress.artifacts.manifest import get_manifest, put_artifact
from modelpress.artifacts.memory import MemoryStore
from modelpress.artifacts.refs import broken_blobs
from modelpress.artifacts.store import Store
from modelpress.catalogue import Kind
from modelpress.client.archive import export_run, import_run
from modelpress.client.archive_file import artifacts_of
from modelpress.engine.state import RunState, RunStatus, StepState, StepStatus
from modelpress.errors import CorruptBlobError, InputError, StoreError, StoreFullError
from modelpress.pipeline.plan import Plan, PlannedStep
from tests.unit.artifacts.disks import disk_of_1_mb

KEY = "ab" * 32


def artifact(store: Store, name: str, kind: Kind = Kind.MODEL) -> Digest:
    return put_artifact(store, kind, {"name": name}, {"own": name.encode() * 1000, "shared": b"shared"})


def finished_run(store: Store) -> RunState:
    """A run of two steps, the second of which failed; its inputs, outputs and results are in ``store``."""
    model, slim = artifact(store, "model"), artifact(store, "slim")
    store.results.create(KEY, json.dumps({"outputs": {"model": slim}, "metrics": {"sparsity": 0.5}}).encode())
    planned = (
        PlannedStep(id="slim", uses="pruner/x", version=1),
        PlannedStep(id="check", uses="evaluator/y", version=1),
    )
    steps = {
        "slim": StepState(id="slim", status=StepStatus.SUCCEEDED, key=KEY, outputs={"model": slim}),
        "check": StepState(id="check", status=StepStatus.FAILED, key="cd" * 32, error="no"),
    }
    return RunState(
        run_id="20240101-000000-ab12",
        plan=Plan(name="p", inputs={"model": "m"}, steps=planned, outputs={"model": "slim.model"}),
        status=RunStatus.FAILED,
        inputs={"model": model},
        steps=steps,
        outputs={"model": slim},
    )


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def archive(store: MemoryStore, tmp_path: Path) -> Path:
    path = tmp_path / "run.tar"
    export_run(store, finished_run(store), path)
    return path


def test_a_run_comes_out_as_it_went_in(store: MemoryStore, archive: Path, tmp_path: Path) -> None:
    other = FilesystemStore(tmp_path / "other")
    state = import_run(other, archive)
    assert state == finished_run(store)
    assert all(broken_blobs(other, digest) == () for digest in artifacts_of(state))
    assert sorted(other.blobs.matching("sha256:")) == sorted(store.blobs.matching("sha256:"))
    assert other.results.get(KEY) == store.results.get(KEY)
    export_run(other, state, tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == archive.read_bytes()


def test_an_archive_is_a_plain_tar_with_sorted_names_and_no_times(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        found = tar.getmembers()
    names = [member.name for member in found]
    assert names == sorted(names)
    assert names[0] == "archive.json"
    assert names[-2:] == [f"results/{KEY}", "run.json"]
    assert {(member.mtime, member.uid, member.mode, member.uname) for member in found} == {(0, 0, 0o644, "")}


def test_logs_go_along_where_they_are_asked_for(store: MemoryStore, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "check.log").write_text("it failed\n")
    (logs / "worker.log").write_text("nobody's")
    export_run(store, finished_run(store), tmp_path / "run.tar", logs)
    import_run(MemoryStore(), tmp_path / "run.tar", tmp_path / "imported")
    assert {p.name: p.read_text() for p in (tmp_path / "imported").iterdir()} == {"check.log": "it failed\n"}
    import_run(MemoryStore(), tmp_path / "run.tar")


def test_importing_twice_changes_nothing(archive: Path) -> None:
    other = MemoryStore()
    import_run(other, archive)
    before = dict(other.blobs.data)
    import_run(other, archive)
    assert other.blobs.data == before


def test_no_result_replaces_one_that_is_there(archive: Path) -> None:
    other = MemoryStore()
    other.results.create(KEY, b'{"outputs": {}}')
    import_run(other, archive)
    assert other.results.get(KEY) == b'{"outputs": {}}'


def test_an_import_mends_what_is_damaged(store: MemoryStore, archive: Path) -> None:
    layer = get_manifest(store, artifact(store, "slim")).blobs()[0]
    store.blobs.data[layer] = b"cut short"
    import_run(store, archive)
    assert digest_of(store.blobs.data[layer]) == layer


def test_a_run_that_has_not_ended_is_not_exported(store: MemoryStore, tmp_path: Path) -> None:
    running = finished_run(store).model_copy(update={"status": RunStatus.RUNNING})
    with pytest.raises(InputError, match="is running: wait for its end"):
        export_run(store, running, tmp_path / "run.tar")
    assert list(tmp_path.iterdir()) == []


def test_what_was_lost_and_not_made_again_is_not_needed(store: MemoryStore, tmp_path: Path) -> None:
    state = finished_run(store)
    lost = state.steps["check"].model_copy(update={"outputs": {"report": digest_of(b"lost")}})
    store.results.create("cd" * 32, json.dumps({"outputs": {"report": digest_of(b"lost")}}).encode())
    export_run(store, state.model_copy(update={"steps": {**state.steps, "check": lost}}), tmp_path / "run.tar")
    other = MemoryStore()
    assert import_run(other, tmp_path / "run.tar").steps["check"] == lost
    assert list(other.results.keys()) == [KEY]


def test_a_stored_result_that_cannot_be_read_stays_behind(store: MemoryStore, tmp_path: Path) -> None:
    state = finished_run(store)
    store.results.discard(KEY)
    store.results.create(KEY, b"{")
    export_run(store, state, tmp_path / "run.tar")
    other = MemoryStore()
    assert import_run(other, tmp_path / "run.tar") == state
    assert list(other.results.keys()) == []


def test_metrics_that_are_no_numbers_come_along(store: MemoryStore, tmp_path: Path) -> None:
    state = finished_run(store)
    odd = state.steps["check"].model_copy(update={"metrics": {"loss": float("nan"), "ratio": float("inf")}})
    export_run(store, state.model_copy(update={"steps": {**state.steps, "check": odd}}), tmp_path / "run.tar")
    assert str(import_run(MemoryStore(), tmp_path / "run.tar").steps["check"].metrics) == str(odd.metrics)


def test_what_is_missing_is_named_and_no_file_is_left(store: MemoryStore, tmp_path: Path) -> None:
    state = finished_run(store)
    for blob in (get_manifest(store, Digest(state.outputs["model"])).blobs()[0], Digest(state.inputs["model"])):
        store.blobs.discard(blob)
        with pytest.raises(InputError, match=f"cannot be exported: {blob}, which it needs, is not in the store"):
            export_run(store, state, tmp_path / "run.tar")
        finished_run(store)
    assert list(tmp_path.iterdir()) == []


def test_what_is_corrupt_is_named_and_no_file_is_left(store: MemoryStore, tmp_path: Path) -> None:
    state = finished_run(store)
    layer = get_manifest(store, Digest(state.outputs["model"])).blobs()[0]
    store.blobs.data[layer] = b"x" * len(store.blobs.data[layer])
    with pytest.raises(CorruptBlobError, match=layer):
        export_run(store, state, tmp_path / "run.tar")
    assert list(tmp_path.iterdir()) == []


def test_paths_that_cannot_be_used_are_the_users_mistake(store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        export_run(store, finished_run(store), tmp_path / "file" / "run.tar")
    with pytest.raises(InputError, match="cannot read"):
        import_run(store, tmp_path / "absent.tar")
    with pytest.raises(InputError, match="cannot read"):
        import_run(store, tmp_path)


Members = dict[str, bytes]


def contents(path: Path) -> Members:
    with tarfile.open(path) as tar:
        files = {member.name: tar.extractfile(member) for member in tar.getmembers()}
        return {name: file.read() for name, file in files.items() if file is not None}


def rewritten(path: Path, members: Members, alter: Callable[[tarfile.TarInfo], None] = lambda info: None) -> Path:
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            alter(info)
            tar.addfile(info, io.BytesIO(data))
    return path


def with_run(members: Members, change: Callable[[dict[str, Any]], object]) -> Members:
    run = json.loads(members["run.json"])
    change(run)
    return {**members, "run.json": json.dumps(run).encode()}


def first_blob(members: Members, of_manifest: bool = False) -> str:
    return next(n for n in members if n.startswith("blobs/") and members[n].startswith(b"{") == of_manifest)


def lacking(name: str) -> Callable[[Members], Members]:
    return lambda members: {n: data for n, data in members.items() if n != name}


MADE_UP: dict[str, tuple[Callable[[Members], Members], str]] = {
    "a name that climbs": (lambda m: {**m, "../evil": b""}, r"'\.\./evil' is no name"),
    "an absolute name": (lambda m: {**m, "/etc/passwd": b""}, "'/etc/passwd' is no name"),
    "a log that climbs": (lambda m: {**m, "logs/../../x.log": b""}, "is no name"),
    "a log of no step": (lambda m: {**m, "logs/00002.log": b""}, "belongs to nothing"),
    "a digest in capitals": (lambda m: {**m, "blobs/sha256/" + "A" * 64: b""}, "is no name"),
    "a blob too many": (lambda m: {**m, "blobs/sha256/" + digest_of(b"x")[7:]: b"x"}, "belongs to nothing"),
    "a result of no step": (lambda m: {**m, "results/" + "00" * 32: b"{}"}, "belongs to nothing"),
    "a blob with other bytes": (
        lambda m: {**m, first_blob(m): bytes(len(m[first_blob(m)]))},
        "has another digest: the archive was damaged",
    ),
    "a layer of another size": (lambda m: {**m, first_blob(m): b""}, "has 0 bytes, its manifest says"),
    "a blob that is missing": (lambda m: lacking(first_blob(m))(m), "is missing"),
    "no head": (lacking("archive.json"), "'archive.json' is missing"),
    "no run": (lacking("run.json"), "'run.json' is missing"),
    "a head that is no JSON": (lambda m: {**m, "archive.json": b"{"}, "is no JSON"),
    "a head of something else": (lambda m: {**m, "archive.json": b"[1]"}, "does not say that this is an archive"),
    "a version of tomorrow": (
        lambda m: {**m, "archive.json": b'{"format": "modelpress.run", "version": 2}'},
        "has version 2, this modelpress reads version 1",
    ),
    "a run that is no run": (lambda m: {**m, "run.json": b"{}"}, "is no record of a run"),
    "a run that is too large": (lambda m: {**m, "run.json": b" " * (64 << 20) + b" "}, "at most 67108864 are right"),
    "a run whose name climbs": (lambda m: with_run(m, lambda run: run.update(run_id="../x")), "is no record of a run"),
    "a run called like a log": (
        lambda m: with_run(m, lambda run: run.update(run_id="worker.log")),
        "is no record of a run",
    ),
    "a step whose name climbs": (
        lambda m: with_run(m, lambda run: run["steps"]["slim"].update(id="../x")),
        "is no record of a run",
    ),
    "a step of the plan that climbs": (
        lambda m: with_run(m, lambda run: run["plan"]["steps"][0].update(id="../x")),
        "not one state for each step",
    ),
    "a step without a state": (
        lambda m: with_run(m, lambda run: run["steps"].pop("check")),
        "not one state for each step",
    ),
    "a state of another step": (
        lambda m: with_run(m, lambda run: run["steps"]["check"].update(id="slim")),
        "state of the step 'check' is another's",
    ),
    "a step that goes on": (
        lambda m: with_run(m, lambda run: run["steps"]["check"].update(status="running")),
        "state of the step 'check' is another's, or open",
    ),
    "a time that is none": (
        lambda m: with_run(m, lambda run: run.update(submitted_s=float("nan"))),
        "is no record of a run",
    ),
    "a time that no calendar has": (lambda m: with_run(m, lambda run: run.update(ended_s=1e300)), "is no record"),
    "a head that nests without end": (lambda m: {**m, "archive.json": b"[" * 100_000}, "is no JSON"),
    "a result that nests without end": (lambda m: {**m, f"results/{KEY}": b"[" * 100_000}, "is no result of a step"),
    "a run that goes on": (lambda m: with_run(m, lambda run: run.update(status="running")), "has not ended"),
    "an output that is no digest": (
        lambda m: with_run(m, lambda run: run.update(outputs={"model": "../../x"})),
        "which is no digest",
    ),
    "an output that is no artifact": (
        lambda m: with_run(m, lambda run: run.update(outputs={"x": "sha256:" + first_blob(m)[13:]})),
        "is no manifest",
    ),
    "a result that is none": (lambda m: {**m, f"results/{KEY}": b"{}"}, "is no result of a step"),
    "a result with a stranger": (
        lambda m: {**m, f"results/{KEY}": json.dumps({"outputs": {"a": digest_of(b"x")}}).encode()},
        "which the run does not",
    ),
}


@pytest.mark.parametrize(("change", "told"), MADE_UP.values(), ids=MADE_UP)
def test_what_somebody_made_up_is_refused_before_anything_is_stored(
    archive: Path, change: Callable[[Members], Members], told: str
) -> None:
    rewritten(archive, change(contents(archive)))
    assert_refused(archive, told)


def assert_refused(archive: Path, told: str) -> None:
    other = MemoryStore()
    with pytest.raises(InputError, match=told) as caught:
        import_run(other, archive)
    assert str(archive) in str(caught.value)
    assert other.blobs.data == {}
    assert list(other.results.keys()) == []


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, b"S", b"x", b"L"]
)
def test_only_plain_files_are_taken(archive: Path, kind: bytes) -> None:
    def alter(info: tarfile.TarInfo) -> None:
        if info.name == f"results/{KEY}":
            info.type, info.linkname = kind, "/etc/passwd"

    rewritten(archive, contents(archive), alter)
    assert_refused(archive, "is no plain file")


def test_a_name_that_is_there_twice_is_refused(archive: Path) -> None:
    members = contents(archive)
    with tarfile.open(archive, "a") as tar:
        info = tarfile.TarInfo("run.json")
        info.size = len(members["run.json"])
        tar.addfile(info, io.BytesIO(members["run.json"]))
    assert_refused(archive, "'run.json' is there twice")


@pytest.mark.parametrize("size_bytes", [1 << 40, 8 << 30])
def test_a_size_beyond_the_file_is_refused(archive: Path, size_bytes: int) -> None:
    info = tarfile.TarInfo("archive.json")
    info.size = size_bytes
    archive.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    assert_refused(archive, f"said to have {size_bytes} bytes, more than the archive")


def test_an_archive_that_was_cut_short_anywhere_is_refused(archive: Path) -> None:
    whole = archive.read_bytes()
    for length in range(0, len(whole) - 1024, 512):
        archive.write_bytes(whole[: length + length % 7])
        assert_refused(archive, "cut short|is missing|damaged")


def test_a_bit_that_flipped_anywhere_is_found_or_changes_nothing(archive: Path, store: MemoryStore) -> None:
    whole = archive.read_bytes()
    state = finished_run(store)
    for at in range(0, len(whole), 97):
        archive.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        other = MemoryStore()
        try:
            imported = import_run(other, archive)
        except InputError:
            assert other.blobs.data == {}
            continue
        assert artifacts_of(imported) == artifacts_of(state)
        assert all(digest_of(data) == digest for digest, data in other.blobs.data.items())


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    for data in (b"", b"x" * 5000, bytes(10_240)):
        (tmp_path / "x.tar").write_bytes(data)
        assert_refused(tmp_path / "x.tar", "no header of a tar file|is missing")


def test_blobs_come_before_results(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = MemoryStore()
    monkeypatch.setattr(other.blobs, "put", lambda chunks: (_ for _ in ()).throw(StoreError("full")))
    with pytest.raises(StoreError, match="full"):
        import_run(other, archive)
    assert list(other.results.keys()) == []


def test_a_disk_that_fills_up_leaves_no_result_and_no_half_file(store: MemoryStore, tmp_path: Path) -> None:
    large = put_artifact(store, Kind.DATASET, {}, {"large": bytes(2 << 20)})
    state = finished_run(store).model_copy(update={"inputs": {"data": large}})
    export_run(store, state, tmp_path / "run.tar")
    with disk_of_1_mb(tmp_path / "disk") as disk:
        other = FilesystemStore(disk / "store")
        kept = other.blobs.put([b"kept"])
        with pytest.raises(StoreFullError):
            import_run(other, tmp_path / "run.tar")
        assert list(other.results.keys()) == []
        assert other.blobs.read(kept) == b"kept"
        with pytest.raises(InputError, match=r"cannot write .*No space left on device"):
            export_run(store, state, disk / "run.tar")
        assert [path.name for path in disk.iterdir()] == ["store"]


def test_large_layers_pass_in_flat_memory(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
from modelpress.artifacts.filesystem import FilesystemStore
from modelpress.artifacts.manifest import put_artifact
from modelpress.catalogue import Kind
from modelpress.client.archive import export_run, import_run
from modelpress.engine.state import RunState
from modelpress.pipeline.plan import Plan
def peak_mb():
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
folder = Path({str(tmp_path)!r})
one, two = FilesystemStore(folder / "one"), FilesystemStore(folder / "two")
before_mb = peak_mb()
digest = put_artifact(one, Kind.DATASET, {{}}, {{"big": (bytes([i]) * 1000000 for i in range(100))}})
plan = Plan(name="p", inputs={{}}, steps=(), outputs={{}})
export_run(one, RunState(run_id="r", plan=plan, status="failed", inputs={{"data": digest}}), folder / "run.tar")
import_run(two, folder / "run.tar")
print(peak_mb() - before_mb)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 40
