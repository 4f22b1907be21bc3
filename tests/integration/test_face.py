"""The snippet of the README on the real engine, and every command on the home that it leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelpress.cli.main import main

MODELS = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    layers = []
    for i, o, stride in ((1, 16, 2), (16, 32, 2), (32, 32, 1)):
        layers += [nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4))
"""

SNIPPET = """
import torch, quadrants
net, example_inputs = quadrants.build(), torch.zeros(2, 1, 12, 12)

import modelpress as mp
client = mp.connect()
model = client.push_model(net, example_inputs, name="fashion/resnet")
data = client.push_data("quadrants.npz")
run = client.run("slim-distill-int8", model=model, data=data)
run.wait()
small = run.outputs["model"].load()

print(run.status, tuple(small(torch.zeros(3, 1, 12, 12)).shape), small.training, run.outputs["model"])
"""

OPEN_GATES = ("--set", "max_drop_points=100", "--set", "min_size_ratio=0")


@dataclass(frozen=True)
class Face:
    """A working directory of a user, and its home."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "MODELPRESS_HOME": str(self.folder / "home"), "MODELPRESS_THREADS": "1"}

    def python(self, *arguments: str, source: str | None = None) -> subprocess.CompletedProcess[str]:
        """A program of the user's."""
        return subprocess.run(
            [sys.executable, *arguments],
            input=source,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )


def write_data(path: Path) -> None:
    """Images whose class is the quadrant that is bright."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for split, count in (("train", 1280), ("test", 256)):
        labels = rng.integers(0, 4, count)
        images = rng.integers(0, 60, (count, 12, 12)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            row, column = 6 * (label // 2), 6 * (label % 2)
            image[row : row + 6, column : column + 6] += 120
        arrays |= {f"x_{split}": images, f"y_{split}": labels}
    np.savez(path, **arrays)


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Face:
    folder = tmp_path_factory.mktemp("user")
    (folder / "quadrants.py").write_text(MODELS)
    (folder / "snippet.py").write_text(SNIPPET)
    write_data(folder / "quadrants.npz")
    return Face(folder)


@pytest.fixture(scope="module")
def printed(face: Face) -> str:
    """What the snippet prints as a file."""
    done = face.python("snippet.py")
    assert done.returncode == 0, done.stderr
    assert "slim: succeeded" in done.stderr, "progress while it waits"
    return done.stdout


class Commands:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """What a command prints; it must exit with ``code``."""
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = self._capsys.readouterr()
        assert (ended.value.code or 0) == code, printed.err
        return printed.out

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json"))


@pytest.fixture
def cli(face: Face, printed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    monkeypatch.setenv("MODELPRESS_HOME", str(face.folder / "home"))
    monkeypatch.setenv("MODELPRESS_THREADS", "1")
    monkeypatch.chdir(face.folder)
    return Commands(capsys)


def test_the_snippet_as_a_file(printed: str) -> None:
    status, *rest = printed.split(" ", 1)
    assert status in ("succeeded", "refused"), "a gate may refuse so small a net"
    assert rest[0].startswith("(3, 4) False sha256:")


def test_the_snippet_from_standard_input_gives_the_same_model(face: Face, printed: str) -> None:
    done = face.python("-", source=SNIPPET)
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed
    assert "from cache" in done.stderr


def test_run_follows_and_tells_what_came_out(cli: Commands) -> None:
    arguments = ("run", "slim-distill-int8", "--model", "fashion/resnet", "--data", "quadrants")
    shown = cli(*arguments, *OPEN_GATES)
    assert "smaller" in shown
    assert "this pipeline" in shown
    assert "All 2 gates passed." in shown


def test_a_refused_gate_exits_with_1_and_keeps_its_outputs(cli: Commands) -> None:
    arguments = ("run", "slim-distill-int8", "--model", "fashion/resnet", "--data", "quadrants")
    shown = cli(*arguments, "--set", "min_size_ratio=1000", code=1)
    assert "Refused: check wants size_ratio >= 1000" in shown
    assert "form" in str(cli.json("show", "last.model"))


def test_push_from_the_users_own_module(cli: Commands) -> None:
    pushed = cli.json("push", "model", "quadrants:build", "--name", "mine/net", "--input", "1,12,12")
    assert pushed["digest"] == cli.json("show", "fashion/resnet")["digest"], "equal models are equal bytes"


def test_lists(cli: Commands) -> None:
    cli("run", "slim-distill-int8", "--model", "fashion/resnet", "--data", "quadrants", *OPEN_GATES)
    names = {entry["name"]: entry["kind"] for entry in cli.json("ls")}
    assert names["fashion/resnet"] == "model"
    assert names["quadrants"] == "dataset"
    assert "package" in names.values()
    packages = cli.json("ls", "packages")
    assert all(entry["kind"] == "package" for entry in packages)
    assert "fashion/resnet" in cli("ls", "models")
    listed = cli.json("list")
    assert listed == sorted(listed, key=lambda entry: -entry["submitted_s"])
    assert listed[0]["run_id"] in cli("list")


def test_get_and_logs(cli: Commands) -> None:
    cli("run", "slim-distill-int8", "--model", "fashion/resnet", "--data", "quadrants", *OPEN_GATES)
    state = cli.json("get", "last")
    assert state["status"] == "succeeded"
    assert set(state["steps"]) == {step["id"] for step in state["plan"]["steps"]}
    assert state["run_id"] in cli("get", "last")
    assert set(cli.json("logs", "last")) == set(state["steps"])
    assert "slim" in cli("logs", state["run_id"], "slim") or state["steps"]["slim"]["cached"]
    cli("logs", "last", "slimm", code=2)


def test_show_tells_layers_and_what_made_it(cli: Commands) -> None:
    shown = cli("show", "last.model")
    assert "Conv2d" in shown
    assert "pruner/network-slimming" in shown
    record = cli.json("show", "last.model")
    assert [made["uses"] for made in record["made_by"]] == [
        "quantizer/ptq-int8",
        "distiller/kd",
        "pruner/network-slimming",
    ]


def test_pull(cli: Commands, tmp_path: Path) -> None:
    cli("pull", "last.package", "--to", str(tmp_path / "a.onnx"))
    cli("pull", "last.model", "--to", str(tmp_path / "b.onnx"), "--format", "onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    cli("pull", "fashion/resnet", "--to", str(tmp_path / "folder"))
    assert {p.name for p in (tmp_path / "folder").iterdir()} == {"graph.json", "tensors.safetensors", "manifest.json"}
    cli("pull", "fashion/resnet", "--to", str(tmp_path / "x"), "--format", "pickle", code=2)


def test_report(cli: Commands, tmp_path: Path) -> None:
    cli("report", "last", "--html", str(tmp_path / "r.html"))
    page = (tmp_path / "r.html").read_text()
    state = cli.json("get", "last")
    assert all(digest in page for step in state["steps"].values() for digest in step["outputs"].values())
    assert "plain" in page or "original" in page


def test_ctrl_c_cancels_and_says_how_to_go_on(face: Face, cli: Commands) -> None:
    command = "from modelpress.cli.main import main; main()"
    words = ["run", "slim-distill-int8", "--model", "fashion/resnet", "--data", "quadrants", "--set", "epochs=1000"]
    with subprocess.Popen(
        [sys.executable, "-c", command, *words],
        cwd=face.folder,
        env=face.environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        told = [process.stderr.readline()]
        while "recover: running" not in told[-1]:
            told.append(process.stderr.readline())
            assert told[-1], "it ended before it trained"
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(timeout=60) == 130
    run_id = told[0].split()[1].rstrip(":")
    assert f"modelpress resume {run_id}" in rest
    state = cli.json("get", run_id)
    assert (state["status"], state["steps"]["slim"]["status"]) == ("cancelled", "succeeded")
