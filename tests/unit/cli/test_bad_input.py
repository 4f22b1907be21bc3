"""Bad models, data and pipelines: exit code 2, the place and what would be right, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.cli.terminal import run

NETS = """
import torch
from torch import nn

class Branches(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x

class Unknown(nn.Module):
    def forward(self, x):
        return torch.fft.fft(x).real
"""

THREE_FAULTS = """
apiVersion: modelpress/v1
kind: Pipeline
metadata: {name: three}
inputs: {model: a, data: b}
steps:
  - {id: slim, uses: pruner/network-slimmin}
  - {id: int8, uses: quantizer/ptq-int8, with: {observr: mse}}
  - {id: pack, uses: quantizer/package, gate: {size_byte: "<= 1"}}
outputs: {package: pack.package}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def written(home: Path) -> list[str]:
    """Blobs and tags under ``home``."""
    return [str(p) for p in home.rglob("*") if p.is_file() and p.parent.name in ("sha256", "tags")]


@pytest.mark.parametrize(
    ("net", "told"), [("Branches", "does not export"), ("Unknown", "aten.fft_fft.default"), ("Absent", "Absent")]
)
def test_a_model_that_cannot_be_pushed(capsys: pytest.CaptureFixture[str], folder: Path, net: str, told: str) -> None:
    (folder / "bad_nets.py").write_text(NETS)
    source = ("push", "model", f"bad_nets:{net}", "--input", "6", "--name", "n")
    done = run(capsys, *source, "--home", str(folder / "home"))
    assert done.code == 2
    assert told in done.err
    assert written(folder / "home") == []


def arrays(**changes: object) -> dict[str, object]:
    rng = np.random.default_rng(0)
    images, labels = rng.random((40, 8, 8), dtype=np.float32), np.arange(40) % 4
    return {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels, **changes}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"y_test": np.full(40, 7)}, "7"),
        ({"y_train": np.full(40, -1)}, "-1"),
        ({"x_train": np.full((40, 8, 8), np.nan, dtype=np.float32)}, "NaN"),
    ],
)
def test_data_that_cannot_be_used(
    capsys: pytest.CaptureFixture[str], folder: Path, changes: dict[str, object], told: str
) -> None:
    np.savez(folder / "bad.npz", **arrays(**changes))  # type: ignore[arg-type]
    done = run(capsys, "push", "data", "bad.npz", "--name", "d", "--home", str(folder / "home"))
    assert done.code == 2
    assert told.lower() in done.err.lower()
    assert written(folder / "home") == []


def test_a_pipeline_with_three_faults_shows_all_and_leaves_no_run(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "three.yaml").write_text(THREE_FAULTS)
    done = run(capsys, "run", "three.yaml", "--home", str(folder / "home"))
    assert done.code == 2
    for fault in ("pruner/network-slimming", "observer", "size_bytes"):
        assert fault in done.err
    assert run(capsys, "list", "--json", "--home", str(folder / "home")).out.strip() == "[]"
