"""The structure of a pipeline file: what is read, and every fault of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelpress.errors import Violation
from modelpress.pipeline.spec import parse_pipeline, read_pipeline, spec_of
from tests.unit.pipeline.fakes import EXAMPLE, SLIM, pipeline


def _faults(raw: Any) -> dict[str, Violation]:
    return {fault.path: fault for fault in spec_of(raw).faults}


def test_the_example_is_read_whole() -> None:
    spec = parse_pipeline(EXAMPLE, "example.yaml")
    assert spec.faults == ()
    assert (spec.name, spec.source, spec.seed) == ("slim-distill-int8", "example.yaml", 0)
    assert [step.id for step in spec.steps] == ["slim", "recover", "int8", "pack", "check"]
    assert spec.steps[1].inputs == {"student": "slim.model", "teacher": "inputs.model"}
    assert spec.steps[0].params == {"sparsity": 0.6, "epochs": 3}
    assert spec.steps[4].gate == {"top1_drop_points": "<= 0.5", "size_ratio": ">= 10"}
    assert spec.outputs == {"model": "int8.model", "package": "pack.package"}


def test_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(EXAMPLE)
    assert read_pipeline(path).source == str(path)
    assert read_pipeline(path).steps == parse_pipeline(EXAMPLE).steps


@pytest.mark.parametrize(
    ("top", "path", "message", "suggestion"),
    [
        ({"apiVersion": "modelpress/v2"}, "apiVersion", "is 'modelpress/v2'", "modelpress/v1"),
        ({"kind": "Pipelines"}, "kind", "is 'Pipelines'", "'Pipeline'"),
        ({"metadata": None}, "metadata", "is missing", ""),
        ({"metadata": {}}, "metadata.name", "is missing", ""),
        ({"metadata": {"name": "No Name"}}, "metadata.name", "'No Name' is no name", "lower-case"),
        ({"metadata": {"name": "x", "titel": "y"}}, "metadata.titel", "means nothing", "did you mean 'title'?"),
        ({"step": []}, "step", "means nothing", "did you mean 'steps'?"),
        ({"repeat": {"times": 4}}, "repeat", "means nothing", "known: "),
        ({"steps": []}, "steps", "at least one step", "uses"),
        ({"steps": {"id": "x"}}, "steps", "must be a list", "uses"),
        ({"steps": ["slim"]}, "steps[0]", "must be a mapping, got 'slim'", ""),
        ({"inputs": ["model"]}, "inputs", "must be a mapping", ""),
        ({"outputs": "x"}, "outputs", "must be a mapping", ""),
        ({"outputs": {1: "x"}}, "outputs", "key 1 is no string", "quotes"),
        ({"seed": -1}, "seed", "whole number", ""),
        ({"seed": True}, "seed", "whole number", ""),
        ({"seed": 1.5}, "seed", "whole number", ""),
        ({"parameters": {"a": 0.5}}, "parameters.a", "must be a mapping, got 0.5", ""),
        ({"parameters": {"a": {"defualt": 1}}}, "parameters.a.defualt", "means nothing", "did you mean 'default'?"),
    ],
)
def test_faults_of_the_pipeline(top: dict[str, Any], path: str, message: str, suggestion: str) -> None:
    fault = _faults(pipeline(SLIM) | top)[path]
    assert message in fault.message
    assert suggestion in fault.suggestion


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ({"id": None}, "steps[0].id", "is missing"),
        ({"id": "Slim"}, "steps[0].id", "'Slim' is no name"),
        ({"id": "-slim"}, "steps[0].id", "is no name"),
        ({"id": 3}, "steps[0].id", "must be text, got 3"),
        ({"id": "inputs"}, "steps[0].id", "the pipeline's own inputs"),
        ({"uses": None}, "steps[0].uses", "is missing"),
        ({"with": [1]}, "steps[0].with", "must be a mapping"),
        ({"gate": "<= 3"}, "steps[0].gate", "must be a mapping"),
        ({"whit": {}}, "steps[0].whit", "means nothing here"),
        ({"resources": {"disk": 1}}, "steps[0].resources.disk", "means nothing here"),
        ({"resources": 3}, "steps[0].resources", "must be a mapping"),
        ({"search": {}}, "steps[0].search", "is not there yet"),
        ({"steps": []}, "steps[0].steps", "stands beside 'uses'"),
    ],
)
def test_faults_of_a_step(change: dict[str, Any], path: str, message: str) -> None:
    assert message in _faults(pipeline(SLIM | change))[path].message


def test_an_empty_step_lacks_its_id_and_method() -> None:
    assert set(_faults(pipeline({}))) == {"steps[0].id", "steps[0].uses"}


@pytest.mark.parametrize("raw", [None, 3, "text", [1]])
def test_what_is_no_mapping(raw: Any) -> None:
    assert "must be a mapping" in _faults(raw)["document"].message or raw is None
    assert "steps" in _faults(raw)


def test_empty_sections_are_empty() -> None:
    spec = spec_of(pipeline(SLIM | {"with": None, "gate": None, "inputs": None}, outputs=None, parameters=None))
    assert spec.faults == ()
    assert spec.steps[0].params == {}


def test_a_long_value_is_cut_in_a_message() -> None:
    message = _faults(pipeline(SLIM, outputs="x" * 1000))["outputs"].message
    assert len(message) < 120
