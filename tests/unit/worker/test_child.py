"""What runs inside the child, called in this process."""

from __future__ import annotations

import errno
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.filesystem import FilesystemStore
from modelpress.artifacts.manifest import get_manifest
from modelpress.artifacts.memory import MemoryStore
from modelpress.artifacts.report import get_report, put_report
from modelpress.catalogue import Kind
from modelpress.errors import DataError, StepError, StoreFullError
from modelpress.worker.child import BrokenInputsError, describe, make_deterministic, run_step
from modelpress.worker.child_job import ChildJob, SlotCheckpoints
from modelpress.worker.protocol import Log, Progress, Reply, StepRequest, StoreAddress


def job(told: list[Reply]) -> ChildJob:
    store = MemoryStore()
    return ChildJob(told.append, SlotCheckpoints(store.slots, "0" * 64), {"top1"}, seed=3, threads=2)


def test_the_first_and_the_last_progress_of_a_stage_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelpress.worker.child_job.time.monotonic", lambda: 100.0)
    told: list[Reply] = []
    here = job(told)
    for done in range(101):
        here.progress("batches", done, 100, loss=0.5)
    here.progress("check", 0, 1)
    assert [(p.stage, p.done) for p in told if isinstance(p, Progress)] == [
        ("batches", 0.0),
        ("batches", 100.0),
        ("check", 0.0),
    ]


@pytest.mark.parametrize("total", [0, 5])
def test_progress_beyond_the_end_is_thinned(monkeypatch: pytest.MonkeyPatch, total: int) -> None:
    monkeypatch.setattr("modelpress.worker.child_job.time.monotonic", lambda: 100.0)
    told: list[Reply] = []
    here = job(told)
    for done in range(5, 1000):
        here.progress("batches", done, total)
    assert len(told) == 1


def test_slow_progress_is_told_all(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(range(100, 200))
    monkeypatch.setattr("modelpress.worker.child_job.time.monotonic", lambda: float(next(times)))
    told: list[Reply] = []
    here = job(told)
    for done in range(5):
        here.progress("epochs", done, 10)
    assert len(told) == 5


def test_a_log_line_goes_to_the_log_and_to_the_parent(capfd: pytest.CaptureFixture[str]) -> None:
    told: list[Reply] = []
    job(told).log("a line")
    assert told == [Log(text="a line")]
    assert capfd.readouterr().err == "a line\n"


def test_only_described_metrics_are_taken() -> None:
    here = job([])
    here.metric("top1", torch.tensor(90.5).item())
    assert here.metrics == {"top1": 90.5}
    with pytest.raises(StepError, match="'topl' that its description lacks; did you mean 'top1'"):
        here.metric("topl", 1.0)


def test_checkpoints_are_kept_in_the_steps_slot() -> None:
    here = job([])
    assert here.checkpoints.load() is None
    here.checkpoints.save(b"half")
    assert here.checkpoints.load() == b"half"


@pytest.mark.parametrize(
    ("error", "fault", "message"),
    [
        (DataError("labels out of range"), "input", "labels out of range"),
        (StoreFullError("no space"), "store-full", "no space"),
        (OSError(errno.ENOSPC, "No space left on device"), "store-full", "no space is left"),
        (OSError(errno.EACCES, "Permission denied"), "kernel", "PermissionError: [Errno 13]"),
        (StepError("later", retryable=True), "retryable", "later"),
        (StepError("never"), "input", "never"),
        (ZeroDivisionError("division by zero"), "kernel", "ZeroDivisionError: division by zero"),
    ],
)
def test_errors_are_told_by_their_kind(error: Exception, fault: str, message: str) -> None:
    told = describe(error)
    assert told.fault == fault
    assert message in told.message


@pytest.fixture
def _torch_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    yield
    torch.set_deterministic_debug_mode("default")


@pytest.mark.usefixtures("_torch_as_before")
def test_equal_seeds_give_equal_draws() -> None:
    def draws(seed: int) -> tuple[float, float, float]:
        make_deterministic(seed, threads=torch.get_num_threads())
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    assert draws(5) == draws(5)
    assert all(a != b for a, b in zip(draws(5), draws(6), strict=True))
    assert torch.are_deterministic_algorithms_enabled()


def ignore(reply: Reply) -> None:
    """Nobody listens."""


def request(root: Path, key: str = "0" * 64, **inputs: str | tuple[str, ...]) -> StepRequest:
    return StepRequest(
        store=StoreAddress(root=str(root), tenant="default", durability="process"),
        key=key,
        run="modelpress.testing.toys:noop",
        params_type="modelpress.testing.toys:NamedParams",
        params={"name": "a"},
        inputs=inputs,
        outputs={"report": Kind.REPORT},
        metrics=("value",),
        seed=0,
        threads=torch.get_num_threads(),
        log_path="",
    )


@pytest.mark.usefixtures("_torch_as_before")
def test_every_broken_blob_of_every_input_is_named(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    whole, *broken = (put_report(store, {"n": n}) for n in range(3))
    blobs = [get_manifest(store, digest).layers[0].digest for digest in broken]
    store.blobs.discard(Digest(blobs[0]))
    (path,) = tmp_path.rglob(blobs[1].removeprefix("sha256:"))
    path.write_bytes(b"damaged")
    with pytest.raises(BrokenInputsError) as error:
        run_step(request(tmp_path, source=whole, first=broken[0], many=(whole, broken[1])), ignore)
    told = describe(error.value)
    assert told.fault == "inputs-broken"
    assert told.broken == {"first": (blobs[0],), "many": (blobs[1],)}
    assert blobs[0] in told.message


@pytest.mark.usefixtures("_torch_as_before")
def test_a_step_reads_its_input_and_stores_its_output(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    done = run_step(request(tmp_path, source=put_report(store, {"depth": 4})), ignore)
    assert get_report(store, Digest(done.outputs["report"])) == {"name": "a", "value": 1.0, "depth": 5}
    assert done.metrics == {"value": 1.0}
