"""``show`` and ``compare`` on a home whose manifests were written by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import modelpress
from modelpress.artifacts.report import put_report
from modelpress.catalogue import Form
from modelpress.cli.contents import comparison
from modelpress.client.comparison import Total
from modelpress.client.tagging import tag
from tests.unit.cli.terminal import run
from tests.unit.client.artifacts import DENSE, SLIM, put_model, put_onnx


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    keep = np.array([[True, False, False, False]] * 8)
    with modelpress.connect(home=home) as client:
        store = client.store
        tag(store, "nets/dense", put_model(store, DENSE))
        tag(store, "nets/slim", put_model(store, SLIM))
        masked = {"first.parametrizations.weight.0.keep": keep}
        tag(store, "nets/masked", put_model(store, DENSE, Form.CONSTRAINED, masked))
        tag(store, "file", put_onnx(store))
        tag(store, "told", put_report(store, {"scores": list(range(1000)), "loss": 0.25}))
    return home


def words(line: str) -> list[str]:
    return line.split()


def test_show_tells_a_model_by_layer(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "show", "nets/dense", "--home", str(home)).out
    lines = out.splitlines()
    assert lines[0].startswith("nets/dense  model  ")
    assert "input: x float32 batch×1×28×28" in lines
    assert "note: stochastic depth is lost" in lines
    (second,) = [words(line) for line in lines if line.split()[:1] == ["second"]]
    assert second == ["second", "Linear", "6×8", "32", "48", "480", "192", "B", "24", "B"]
    assert "parameters 92  MACs of a sample 2,480  weights 368 B  activations of a sample 64 B" in out
    assert "masked" not in out


def test_show_tells_what_a_mask_takes(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "show", "nets/masked", "--home", str(home)).out
    assert "masked" in out
    assert "75.00 %" in out


def test_show_tells_a_package_and_a_report(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "show", "file", "--home", str(home)).out
    assert "Relu 2, Neg 1" in out
    assert '"int8"' in out
    assert "parameters 92  MACs of a sample 2,480" in out
    told = run(capsys, "show", "told", "--home", str(home)).out
    assert "0.25" in told
    assert "--json has all" in told


def test_show_as_json_has_all(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = json.loads(run(capsys, "show", "nets/masked", "--home", str(home), "--json").out)
    assert record["contents"]["layers"][0]["sparsity"] == 0.75
    assert record["contents"]["layers"][0]["weight_bytes"] == 128
    assert record["contents"]["totals"]["macs"] == 2480
    told = json.loads(run(capsys, "show", "told", "--home", str(home), "--json").out)
    assert told["contents"]["facts"]["scores"][-1] == 999


def test_compare_tells_totals_and_what_changed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "compare", "nets/dense", "nets/slim", "--home", str(home)).out
    lines = {line.split()[0]: line for line in out.splitlines() if line.split()}
    assert "2.49× fewer" in lines["parameters"]
    assert "8×4 → 4×4" in lines["first"]
    assert "2.00× fewer" in lines["first"]
    assert "removed" in lines["second"]
    assert "added" in lines["new"]
    assert "last" not in lines
    assert "layers that changed: 3 of 4" in out
    assert "latencies are not compared" in out


def test_compare_tells_a_mask_that_came(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "compare", "nets/dense", "nets/masked", "--home", str(home)).out
    (form,) = [words(line) for line in out.splitlines() if line.split()[:1] == ["form"]]
    assert form == ["form", "dense", "constrained"]
    assert "– → 75.00 %" in out
    assert "layers that changed: 1 of 3" in out


def test_compare_as_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = json.loads(run(capsys, "compare", "nets/dense", "nets/slim", "--home", str(home), "--json").out)
    assert {t["name"]: t["after"] for t in record["totals"]}["parameters"] == 37
    assert record["layers"][0]["after"]["shape"] == [4, 4]
    assert record["measured_in"] is None


def test_compare_names_a_latency_by_its_batch(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with modelpress.connect(home=home) as client:
        found = client.compare("nets/dense", "nets/slim")
    comparison(replace(found, totals=(Total("latency_ms_b64", 2.4, 0.6, 4.0),), measured_in="r"))
    out = capsys.readouterr().out
    (latency,) = [words(line) for line in out.splitlines() if "latency" in line]
    assert latency == ["latency,", "batch", "64", "2.40", "ms", "0.600", "ms", "4.00×", "faster"]
    assert "as run r measured both" in out


def test_an_artifact_beside_itself_is_the_same(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "compare", "nets/dense", "nets/dense", "--home", str(home)).out
    assert "nets/dense (2)" in out
    assert out.count("unchanged") == 5
    assert "layers that changed: 0 of 3" in out


def test_unlike_kinds_and_unknown_names_are_input_errors(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "compare", "nets/dense", "file", "--home", str(home))
    assert done.code == 2
    assert "two models or two packages" in done.err
    done = run(capsys, "show", "nets/dens", "--home", str(home))
    assert done.code == 2
    assert "did you mean 'nets/dense'?" in done.err
