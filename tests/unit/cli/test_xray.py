"""``modelpress xray``: the table, the page, JSON, the profile that plans read, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.terminal import run

NETS = """
import torch
from torch import nn

def net():
    return nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 4))

def needs(width, depth, bias=True): return net()
def fails(): return helper(3)
def helper(n): raise ValueError(f"no width {n}")

class Branches(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x
"""
QUICK = ("--batch", "1", "--threads", "1", "--budget-s", "120")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "xrayed_nets.py").write_text(NETS)
    (tmp_path / "broken_nets.py").write_text("import torch\nwidth = 1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("MODELPRESS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("modelpress.xray.measuring.SETTLED_S", 0.1)
    return tmp_path


def test_what_it_prints_and_writes(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    done = run(capsys, "xray", "xrayed_nets:net", "--input", "6", *QUICK)
    assert done.code == 0
    assert done.out.startswith("int8 alone: ")
    assert " dense " in done.out
    assert "modelpress push model xrayed_nets:net --input 6 --name xrayed-nets-net && " in done.out
    assert "building int8" in done.err
    page = (folder / "xray.html").read_text()
    assert "xrayed_nets:net" in page


def test_a_pushed_model_as_json_and_the_plan_that_knows_it(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert run(capsys, "push", "model", "xrayed_nets:net", "--input", "6", "--name", "tiny").code == 0
    done = run(capsys, "xray", "tiny", "--json", "--html", "out/page.html", *QUICK)
    found = json.loads(done.out)
    assert found["candidates"][0]["name"] == "dense"
    assert found["machine"]["threads"] == 1
    assert found["next_command"].startswith("modelpress push data ")
    assert (folder / "out" / "page.html").is_file()
    (int8,) = (c for c in found["candidates"] if c["name"] == "int8")
    gain = int8["latencies"][0]["ratio"]
    planned = run(capsys, "plan", "int8", "--model", "tiny", "--data", "d")
    assert planned.code == 0
    assert ("int8 brings no speed" in planned.out) is (gain <= 1.05)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["xrayed_nets:needs"], "needs 'width', 'depth'"),
        (["xrayed_nets:fails"], "in helper: def helper(n): raise ValueError"),
        (["xrayed_nets:net"], "--input 1,28,28"),
        (["xrayed_nets:absent"], "has no 'absent'"),
        (["xrayed_nets:Branches", "--input", "6"], "does not export"),
        (["broken_nets:net"], "broken_nets.py:2 in <module>: width = 1 / 0"),
        (["no_such_nets:net"], "there is no module"),
        (["nothing"], "there is no artifact"),
        (["timm:resnet5O"], "did you mean 'resnet50'"),
        (["xrayed_nets:net", "--input", "6", "--target", "phone"], "no worker"),
        (["xrayed_nets:net", "--input", "6", "--batch", "0"], "at least one sample"),
        (["nothing", "--input", "6"], "knows its inputs"),
    ],
)
def test_bad_input(capsys: pytest.CaptureFixture[str], folder: Path, arguments: list[str], told: str) -> None:
    done = run(capsys, "xray", *arguments)
    assert done.code == 2
    assert told in done.err
    assert "Traceback" not in done.err
    assert done.out == ""
    assert not (folder / "xray.html").exists()
