"""``modelpress demo --quick`` on a stand-in for Fashion-MNIST of the same shape, twice."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from modelpress.cli.commands.demo import QUICK, first_samples, load_data, load_net
from modelpress.cli.main import main
from modelpress.client.client import connect
from modelpress.data.importers import import_data


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes(), mtime=0))


@pytest.fixture
def fashion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the four files, images whose class is the row that is bright; the environment points to it."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 1536), ("t10k", 300)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = rng.integers(0, 80, (count, 28, 28), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2 * label + 4 : 2 * label + 6] = 200
        write_idx(tmp_path / f"{split}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte.gz", labels)
    monkeypatch.setenv("MODELPRESS_DATA", str(tmp_path))
    monkeypatch.setenv("MODELPRESS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MODELPRESS_THREADS", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_demo_twice(fashion: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for again in (False, True):
        with pytest.raises(SystemExit) as ended:
            main(["demo", "--quick"])
        shown = capsys.readouterr().out
        assert not ended.value.code
        assert "this pipeline" in shown
        assert "modelpress get" in shown
        assert ("nothing was computed again" in shown) is again
    assert "<!doctype html>" in (fashion / "out" / "report.html").read_text()
    assert (fashion / "out" / "fashion-resnet.onnx").stat().st_size > 10_000


@pytest.mark.slow
def test_without_its_weights_the_demo_trains_them_once_and_says_so(
    fashion: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelpress.demo.net.weights", lambda: None)
    client, scale = connect(home=fashion / "home"), QUICK
    with client:
        dataset = load_data(client, scale)
        first, _ = load_net(client, dataset, scale)
        assert "absent; training them" in capsys.readouterr().out
        second, _ = load_net(client, dataset, scale)
        assert "trained before" in capsys.readouterr().out
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_first_samples_keep_the_description(fashion: Path) -> None:
    full = import_data("fashion-mnist")
    part = first_samples(full, {"train": 64, "calibration": 8, "validation": 16, "test": 10_000})
    assert {name: len(split) for name, split in part.splits.items()} == {
        "train": 64,
        "calibration": 8,
        "validation": 16,
        "test": 300,
    }
    assert part.description == full.description
