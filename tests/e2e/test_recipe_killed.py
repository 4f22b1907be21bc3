"""SIGKILL in every step of the demo's pipeline: the next run finishes it, and nothing finished is done twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from modelpress.client.client import Client, connect
from modelpress.client.run import Run
from modelpress.engine.events import Event, StepProgressed, StepStarted
from modelpress.engine.state import RunState, RunStatus
from modelpress.recipes import load_recipe
from modelpress.testing.blobs import SIDE, BlobNet, blobs
from tests.integration.homes import is_gone, wait_until, worker_of

pytestmark = pytest.mark.slow

STEPS = [step.id for step in load_recipe("slim-distill-int8").spec.steps]
SETTINGS = {"slim_epochs": 4, "epochs": 6, "max_drop_points": 100, "min_size_ratio": 0, "multiple": 4}
PURE = ("model", "package", "reference", "check")
"""Outputs whose digests are promised; the measurement's is not."""

# Drives a run, and kills itself at the first start of each step, and once in each training, that no driver died at yet.
DRIVER = """
import os, signal, sys
from modelpress.client.client import connect
from modelpress.engine.events import StepProgressed, StepStarted

home, run_id, journal = sys.argv[1:]

def watch(event):
    if isinstance(event, StepStarted):
        at = event.step_id
    elif isinstance(event, StepProgressed) and 1 <= event.done < event.total and event.stage.startswith("train"):
        at = event.step_id + ":trains"
    else:
        return
    with open(journal, "a+") as file:
        file.seek(0)
        if at not in file.read().split():
            file.write(at + chr(10))
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)

with connect(home=home) as client:
    client.engine.drive(run_id, watch)
"""


def submit(client: Client) -> Run:
    torch.manual_seed(0)
    model = client.push_model(BlobNet(), torch.zeros(2, 1, SIDE, SIDE), name="net")
    data = client.push_data(blobs(train=1536), name="blobs")
    return client.run("slim-distill-int8", model=model, data=data, set=SETTINGS)


def pure_outputs(state: RunState) -> dict[str, str]:
    return {name: state.outputs[name] for name in PURE}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> RunState:
    with connect(home=tmp_path_factory.mktemp("undisturbed")) as client:
        return submit(client).wait(progress=False).state


def drive(home: Path, run_id: str, journal: Path) -> int:
    command = [sys.executable, "-c", DRIVER, str(home), run_id, str(journal)]
    return subprocess.run(command, timeout=120, check=False).returncode


def test_an_engine_killed_in_each_step_finishes(tmp_path: Path, undisturbed: RunState) -> None:
    home, journal = tmp_path / "home", tmp_path / "journal"
    with connect(home=home) as client:
        run = submit(client)
    codes = [drive(home, run.id, journal)]
    while codes[-1] == -signal.SIGKILL:
        codes.append(drive(home, run.id, journal))
    with connect(home=home) as client:
        state = client.get(run.id).state
        resumed = [client.get(run.id).logs(step).count("training goes on after epoch") for step in ("slim", "recover")]
    assert codes[-1] == 0
    assert sorted(journal.read_text().split()) == sorted([*STEPS, "slim:trains", "recover:trains"])
    assert state.status is RunStatus.SUCCEEDED
    assert pure_outputs(state) == pure_outputs(undisturbed)
    assert resumed == [1, 1]


def test_a_child_killed_in_each_step_is_replaced(tmp_path: Path, undisturbed: RunState) -> None:
    killed: list[str] = []

    def kill_once(event: Event) -> None:
        if isinstance(event, StepStarted) and event.step_id not in killed:
            killed.append(event.step_id)
            _kill_worker()
        trained = isinstance(event, StepProgressed) and event.step_id == "recover" and 1 <= event.done < event.total
        if trained and "recover in training" not in killed:
            killed.append("recover in training")
            _kill_worker()

    with connect(home=tmp_path / "home") as client:
        state = client.engine.drive(submit(client).id, kill_once)
        log = client.get(state.run_id).logs("recover")
    assert state.status is RunStatus.SUCCEEDED
    assert {*STEPS, "recover in training"} == set(killed)
    assert pure_outputs(state) == pure_outputs(undisturbed)
    assert "training goes on after epoch" in log


def test_the_same_command_again_goes_on_with_the_run_that_was_killed(tmp_path: Path) -> None:
    with connect(home=tmp_path / "home") as client:
        killed = submit(client)
        assert submit(client).id == killed.id
        killed.cancel()
        assert submit(client).id != killed.id


def _kill_worker() -> None:
    worker = worker_of(os.getpid())
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: is_gone(worker), "the child is gone")
