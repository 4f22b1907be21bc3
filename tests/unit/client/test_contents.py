"""What an artifact is made of, and two of them side by side; no torch in either."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import modelpress
from modelpress.artifacts.digest import Digest
from modelpress.artifacts.manifest import put_artifact
from modelpress.artifacts.memory import MemoryStore
from modelpress.artifacts.report import put_report
from modelpress.catalogue import Form, Kind
from modelpress.client.client import Client
from modelpress.client.comparison import Comparison, compare
from modelpress.client.contents import contents, measured
from modelpress.client.refs import ModelRef, ref_of
from modelpress.client.tagging import tag
from modelpress.engine.state import RunState
from modelpress.errors import InputError, NotFoundError
from modelpress.report.layers import layers_of
from tests.unit.client.artifacts import DENSE, SLIM, put_model, put_onnx, row
from tests.unit.report.samples import digest, run_state


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def compared(store: MemoryStore, before: Digest, after: Digest, *runs: RunState) -> Comparison:
    return compare(ref_of(store, before), ref_of(store, after), runs)


def test_a_model_tells_inputs_layers_and_sums(store: MemoryStore) -> None:
    found = contents(ref_of(store, put_model(store, DENSE), "mine"), [])
    assert (found.kind, found.name, found.form) == (Kind.MODEL, "mine", "dense")
    assert found.inputs == ("x float32 batch×1×28×28",)
    assert [x.path for x in found.layers] == ["first", "second", "last"]
    assert found.totals["parameters"] == 32 + 48 + 12
    assert found.totals["macs"] == 2480
    assert found.totals["weight_bytes"] == 4 * 92
    assert found.totals["activation_bytes"] == 4 * (8 + 6 + 2)
    assert found.facts == {"bits": 8}
    assert all(x.sparsity is None for x in found.layers)


def test_manifests_that_do_not_tell_macs_have_no_sum_of_them(store: MemoryStore) -> None:
    older = tuple({k: v for k, v in r.items() if k != "macs"} for r in DENSE)
    found = contents(ref_of(store, put_model(store, older)), [])
    assert found.layers[0].macs is None
    assert "macs" not in found.totals


def test_sparsity_is_what_the_masks_take(store: MemoryStore) -> None:
    keep = np.array([[True, False, False, True]] * 8)
    masks = {"first.parametrizations.weight.0.keep": keep, "second.parametrizations.weight.1.keep": keep[:1] | True}
    made = put_model(store, DENSE, Form.CONSTRAINED, {**masks, "last.parametrizations.bias.0.keep": keep})
    ref = ref_of(store, made)
    assert isinstance(ref, ModelRef)
    assert {x.path: x.sparsity for x in ref.layers()} == {"first": 0.5, "second": 0.0, "last": None}


def test_a_package_tells_precision_operators_and_sums(store: MemoryStore) -> None:
    found = contents(ref_of(store, put_onnx(store)), [])
    assert found.operators == {"Relu": 2, "Neg": 1}
    assert found.facts["precision"] == "int8"
    assert (found.totals["parameters"], found.totals["macs"]) == (92, 2480)
    assert found.inputs == ("x float32 batch×1×28×28",)
    assert found.layers == (), "no run of this home made it"


def test_a_package_that_a_run_made_has_the_layers_of_its_model(store: MemoryStore) -> None:
    package, model = put_onnx(store), put_model(store, SLIM)
    run = with_outputs(run_state(), {"pack": {"package": package}, "int8": {"model": model}})
    assert [x.path for x in contents(ref_of(store, package), [run]).layers] == ["first", "last", "new"]
    gone = with_outputs(run_state(), {"pack": {"package": package}})
    assert contents(ref_of(store, package), [gone]).layers == ()


def with_outputs(run: RunState, outputs: dict[str, dict[str, Digest]]) -> RunState:
    changed = {name: run.steps[name].model_copy(update={"outputs": made}) for name, made in outputs.items()}
    return run.model_copy(update={"steps": {**run.steps, **changed}})


def test_a_report_is_told_whole_and_a_dataset_by_its_size(store: MemoryStore) -> None:
    report = put_report(store, {"loss": 0.5, "by_layer": {"a": 1}, "inputs": "odd"})
    assert contents(ref_of(store, report), []).facts == {"loss": 0.5, "by_layer": {"a": 1}, "inputs": "odd"}
    data = put_artifact(store, Kind.DATASET, {"description": {}}, {"train.safetensors": b"12345"})
    assert contents(ref_of(store, data), []).totals == {"size_bytes": 5}


def test_the_newest_run_that_measured_tells_figures_without_what_is_relative() -> None:
    package = digest("pack.package")
    found = measured([run_state(run_id="newer"), run_state(run_id="older")], package)
    assert found is not None
    assert found.run_id == "newer"
    assert found.figures["top1"] == 92.35
    assert {"latency_ms_b1", "latency_ms_b64"} <= set(found.figures)
    assert not {"size_ratio", "top1_drop_points", "latency_ratio_b1", "size_bytes"} & set(found.figures)
    assert measured([run_state()], digest("slim.model")) is None


def test_layers_are_joined_by_path(store: MemoryStore) -> None:
    found = compared(store, put_model(store, DENSE), put_model(store, SLIM))
    changes = {c.path: (c.before is not None, c.after is not None, c.same) for c in found.layers}
    assert changes["first"] == (True, True, False)
    assert changes["last"] == (True, True, True)
    assert changes["second"] == (True, False, False)
    assert changes["new"] == (False, True, False)
    totals = {t.name: t.ratio for t in found.totals}
    assert totals["macs"] == pytest.approx(2480 / 2500)
    assert totals["parameters"] == pytest.approx(92 / 37)


def test_two_of_a_kind_only(store: MemoryStore) -> None:
    model, package = put_model(store, DENSE), put_onnx(store)
    with pytest.raises(InputError, match=r"is a model, .* a package"):
        compared(store, model, package)
    report = put_report(store, {})
    with pytest.raises(InputError, match="two models or two packages"):
        compared(store, report, report)


def test_latencies_are_compared_within_a_run_as_they_were_paired(store: MemoryStore) -> None:
    dense, small, plain = (put_onnx(store, parameters=n) for n in (1, 2, 3))
    run = with_outputs(
        run_state(),
        {"dense-pack": {"package": dense}, "pack": {"package": small}, "plain-pack": {"package": plain}},
    )
    found = {t.name: t for t in compared(store, dense, small, run).totals}
    paired = run.steps["speed"].metrics["latency_ratio_b64"]
    assert found["latency_ms_b64"].ratio == paired
    assert found["top1"].before == 92.61
    turned = {t.name: t for t in compared(store, small, dense, run).totals}
    assert turned["latency_ms_b64"].ratio == pytest.approx(1 / paired)
    apart = compared(store, dense, put_onnx(store, parameters=4), run)
    assert apart.measured_in == ""
    assert not any(t.name.startswith("latency") for t in apart.totals)


def test_a_latency_without_its_pair_gives_no_ratio(store: MemoryStore) -> None:
    dense, small = (put_onnx(store, parameters=n) for n in (1, 2))
    run = with_outputs(run_state(), {"dense-pack": {"package": dense}, "pack": {"package": small}})
    speed = run.steps["speed"]
    alone = {n: v for n, v in speed.metrics.items() if "ratio" not in n}
    run = run.model_copy(update={"steps": {**run.steps, "speed": speed.model_copy(update={"metrics": alone})}})
    found = {t.name: t for t in compared(store, dense, small, run).totals}
    assert found["latency_ms_b64"].before is not None
    assert found["latency_ms_b64"].ratio is None


def test_rows_of_a_layer_without_a_weight_have_no_bytes() -> None:
    (layer,) = layers_of({"layers": [{**row("lstm", (3,)), "shape": [], "bits": 0}]})
    assert layer.weight_bytes == 0


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with modelpress.connect(home=tmp_path / "home") as made:
        for name, rows in (("dense", DENSE), ("slim", SLIM)):
            tag(made.store, name, put_model(made.store, rows))
        tag(made.store, "file", put_onnx(made.store))
        yield made


def test_the_client_tells_contents_and_compares(client: Client) -> None:
    assert client.contents("dense").name == "dense"
    record = client.compare("dense", "slim").as_record()
    assert record["before"]["name"] == "dense"
    assert record["layers"][1] == {"path": "second", "before": record["layers"][1]["before"], "after": None}
    with pytest.raises(NotFoundError, match="did you mean 'dense'"):
        client.compare("dens", "slim")


def test_no_torch_is_imported(client: Client, tmp_path: Path) -> None:
    program = (
        "import sys, modelpress\n"
        f"with modelpress.connect(home={str(tmp_path / 'home')!r}) as client:\n"
        "    assert client.contents('dense').layers and client.contents('file').operators\n"
        "    assert client.compare('dense', 'slim').totals and client.artifact('dense').layers()\n"
        "print([m for m in ('torch', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
