"""The JSON Schema that editors use agrees with what is planned."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from docs.schema import FILE, text
from modelpress.pipeline.document import parse_document
from modelpress.pipeline.schema import pipeline_schema
from modelpress.recipes import Recipe, list_recipes
from tests.unit.pipeline.fakes import CATALOGUE, EXAMPLE, INT8, PACK, SLIM, pipeline, step

SCHEMA = pipeline_schema(CATALOGUE)
VALIDATOR = Draft202012Validator(SCHEMA)
CHECK = step("check", "evaluator/classification")


def paths(raw: Any) -> set[str]:
    """Where the schema finds a fault."""
    return {error.json_path for error in VALIDATOR.iter_errors(raw)}


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_the_committed_copy_is_up_to_date() -> None:
    assert FILE.read_text(encoding="utf-8") == text(), "run `python -m docs.schema`"


@pytest.mark.parametrize("recipe", list_recipes(), ids=lambda recipe: recipe.name)
def test_recipes_that_ship_are_valid(recipe: Recipe) -> None:
    shipped = Draft202012Validator(parse_document(text()).data)
    assert list(shipped.iter_errors(parse_document(recipe.text).data)) == []


@pytest.mark.parametrize(
    "entry",
    [
        SLIM | {"with": {"sparsity": 0.5, "epochs": "${n}"}, "gate": {"top1": ">= ${least}"}, "inputs": None},
        SLIM | {"resources": {"class": "gpu", "cores": 2, "memory": "4GB"}, "timeout": "30m"},
        INT8 | {"when": {"check.top1": "> 90"}, "matrix": {"bits": [4, 8], "share": "${shares}"}},
        {"id": "rounds", "repeat": {"times": "${n}"}, "steps": [SLIM, {"id": "g", "steps": [INT8]}]},
        {"id": "rounds", "repeat": {"times": 3}, "steps": [SLIM], "outputs": {"model": "slim.model"}},
        {"id": "first", "pipeline": "./half.yaml", "with": {"x": [1]}, "inputs": {"model": "slim.model"}},
        step("s", "evaluator/select", inputs={"packages": ["a.package", "sweep[share=0.5].pack.package"]}),
        step("copy", "other/copy", inputs={"source": "inputs.model"}, **{"with": {"times": 3}}),
    ],
)
def test_what_is_valid(entry: dict[str, Any]) -> None:
    assert paths(pipeline(entry)) == set()


def test_the_example_is_valid() -> None:
    assert paths(parse_document(EXAMPLE).data) == set()


@pytest.mark.parametrize(
    ("entry", "path"),
    [
        (step("a", "pruner/l1-filtr"), "$.steps[0].uses"),
        (SLIM | {"with": {"sparsty": 0.5}}, "$.steps[0].with"),
        (SLIM | {"with": {"sparsity": 1.5}}, "$.steps[0].with.sparsity"),
        (SLIM | {"inputs": {"modle": "inputs.model"}}, "$.steps[0].inputs"),
        (SLIM | {"inputs": {"model": ["inputs.model"]}}, "$.steps[0].inputs.model"),
        (SLIM | {"gate": {"top2": "> 1"}}, "$.steps[0].gate"),
        (CHECK | {"gate": {"top1": "90"}}, "$.steps[0].gate.top1"),
        (SLIM | {"resources": {"cores": 0}}, "$.steps[0].resources.cores"),
        (SLIM | {"repeat": {"times": 0}}, "$.steps[0].repeat.times"),
        (SLIM | {"search": {}}, "$.steps[0]"),
        (SLIM | {"steps": [PACK]}, "$.steps[0]"),
        ({"id": "a"}, "$.steps[0]"),
        ({"id": "a", "steps": []}, "$.steps[0].steps"),
        ({"id": "a", "steps": [PACK], "gate": {}}, "$.steps[0]"),
        (step("copy", "other/copy"), "$.steps[0]"),
        (step("copy", "other/copy", **{"with": {}}), "$.steps[0].with"),
    ],
)
def test_what_is_not(entry: dict[str, Any], path: str) -> None:
    assert path in paths(pipeline(entry))


def test_faults_around_the_steps() -> None:
    assert "$.metadata.name" in paths(pipeline(SLIM, metadata={"name": "No Name"}))
    assert "$" in paths(pipeline(SLIM, step=[]))
