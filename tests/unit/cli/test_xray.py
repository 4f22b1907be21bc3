"""``modelpress xray``: the table, the page, JSON, the profile that plans read, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.terminal import run

NETS = """
import torch
from torch import nn

class net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(6, 64), nn.Linear(64, 4)

    def forward(self, x): return self.last(self.first(x).relu())

def needs(width, depth, bias=True): return net()
def fails(): return helper(3)
def helper(n): raise ValueError(f"no width {n}")

class Wide(nn.Linear): pass

def image(): return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 6 * 6, 4))
def one_layer(): return nn.Linear(6, 4)

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
    assert "99.4 % of the weights can be pruned; axes: 1 can shrink, 2 are frozen" in done.out
    assert "frozen   last.out by output, xrayed_nets.py:10: def forward" in done.out
    assert "not carried by the export: nothing is known to be missing" in done.out
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
    shown = run(capsys, "show", "tiny").out
    assert "x-rayed on this machine, 1 threads" in shown
    assert " width 1/2, int8 " in shown
    record = json.loads(run(capsys, "show", "tiny", "--json").out)
    assert record["contents"]["xrayed"] == {"threads": 1, "candidates": found["candidates"]}
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
        (["xrayed_nets:net", "--input", "6", "--threads", "100000"], "cores to run them on"),
        (["xrayed_nets:Wide"], "needs 'in_features', 'out_features'"),
        (["xrayed_nets:image", "--input", "8,8"], "are these the sizes that it takes"),
        (["xrayed_nets:net", "--input", "3,6,7"], "are these the sizes that it takes"),
        (["xrayed_nets:one_layer", "--input", "6"], "every axis is frozen, by output"),
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
