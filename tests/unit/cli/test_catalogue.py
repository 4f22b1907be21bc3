"""``methods``, ``recipes``, ``validate`` and ``plan`` need no home and no torch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelpress.catalogue import load_catalogue
from modelpress.recipes import list_recipes
from tests.unit.cli.terminal import run

METHODS = load_catalogue().names()
RECIPES = [recipe.name for recipe in list_recipes()]


def test_methods_lists_every_method(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "methods")
    assert done.code == 0
    assert all(name in done.out for name in METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_shows_its_parameters_and_metrics(capsys: pytest.CaptureFixture[str], name: str) -> None:
    shown = run(capsys, "methods", name)
    facts = json.loads(run(capsys, "methods", name, "--json").out)
    assert facts["name"] == name
    assert all(parameter in shown.out for parameter in facts["params"].get("properties", {}))
    assert set(facts["metrics"]) == set(load_catalogue()[name].metrics)


def test_methods_as_json_is_the_whole_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    assert [m["name"] for m in json.loads(run(capsys, "methods", "--json").out)] == METHODS


def test_metrics_of_every_batch_size_stand_once(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "methods", "hardware-profiler/latency").out
    assert out.count("latency_ratio_b<N>") == 1
    assert "latency_ratio_b64" not in out


def test_an_unknown_method_offers_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "methods", "pruner/network-slimmin")
    assert done.code == 2
    assert "did you mean 'pruner/network-slimming'?" in done.err


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_shows_its_yaml(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert "apiVersion: modelpress/v1" in run(capsys, "recipes", name).out
    facts = json.loads(run(capsys, "recipes", name, "--json").out)
    assert "kind: Pipeline" in facts["pipeline"]


def test_recipes_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert [r["name"] for r in json.loads(run(capsys, "recipes", "--json").out)] == RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_valid_and_have_a_plan(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert json.loads(run(capsys, "validate", name, "--json").out)["valid"] is True
    plan = json.loads(run(capsys, "plan", name, "--json").out)
    shown = run(capsys, "plan", name, "--model", "fashion/resnet").out
    assert all(step["id"] in shown for step in plan["steps"])
    assert "fashion/resnet" in shown


def test_settings_reach_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "plan", "slim-distill-int8", "--set", "sparsity=0.25", "--seed", "7", "--json")
    plan = json.loads(done.out)
    assert plan["seed"] == 7
    assert plan["steps"][0]["params"]["sparsity"] == 0.25


def test_three_faults_are_all_shown_with_their_lines(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(
        "apiVersion: modelpress/v1\nkind: Pipeline\nmetadata: {name: bad}\ninputs: {model: m, data: d}\nsteps:\n"
        "  - id: a\n    uses: pruner/network-slimmin\n"
        "  - id: b\n    uses: distiller/kd\n    inputs: {student: inputs.model, teacher: inputs.model}\n"
        "    with: {temprature: 4}\n"
        "  - id: c\n    uses: evaluator/classification\n    inputs: {package: nothing.package}\n"
    )
    done = run(capsys, "validate", str(file))
    assert done.code == 2
    assert done.out == ""
    for fault in (
        "steps[0].uses (line 7, column 5)",
        "steps[1].with.temprature (line 11, column 12)",
        "steps[2].inputs.package",
    ):
        assert fault in done.err
    assert "Traceback" not in done.err
    as_json = run(capsys, "validate", str(file), "--json")
    assert as_json.code == 2
    assert {(fault["line"], fault["column"]) for fault in json.loads(as_json.out)["faults"]} >= {(7, 5), (11, 12)}


def test_a_plan_tells_costs_and_what_guards_its_steps(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shown = run(capsys, "plan", "slim-distill-int8")
    assert shown.code == 0
    for words in (
        ("slim ", "training"),
        ("speed ", "measurement"),
        ("pack ", "light"),
        ("check ", "gate size_ratio >="),
    ):
        (line,) = [line for line in shown.out.splitlines() if line.strip().startswith(words[0])]
        assert words[1] in line
    assert "inputs.model = to be given" in shown.out
    assert "temperature" in run(capsys, "plan", "slim-distill-int8", "--details").out
    plan = json.loads(run(capsys, "plan", "slim-distill-int8", "--json").out)
    assert {step["foreseen"] for step in plan["steps"]} == {"unknown"}
    assert not (tmp_path / "nobody").exists(), "a look makes no home"


def test_the_schema_is_that_of_the_methods(capsys: pytest.CaptureFixture[str]) -> None:
    shown = json.loads(run(capsys, "schema").out)
    assert shown["$schema"].endswith("2020-12/schema")
    assert all(name in json.dumps(shown) for name in METHODS)
