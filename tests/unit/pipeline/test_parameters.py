"""``${name}`` and what a run sets."""

from __future__ import annotations

from typing import Any

import pytest

from modelpress.errors import InputError
from modelpress.pipeline.parameters import parse_setting
from modelpress.pipeline.validate import validate
from tests.unit.pipeline.fakes import CATALOGUE, SLIM, faults_of, pipeline


def _with_parameter(**entry: Any) -> dict[str, Any]:
    slim = SLIM | {"with": {"sparsity": "${share}"}, "gate": {"top1": ">= ${ floor }"}}
    return pipeline(slim, parameters={"share": entry, "floor": {"default": 90}})


def test_defaults_keep_their_type() -> None:
    step = validate(_with_parameter(default=0.25), CATALOGUE).steps[0]
    assert step.params["sparsity"] == 0.25
    assert step.gate == {"top1": ">= 90"}


def test_settings_go_before_defaults() -> None:
    plan = validate(_with_parameter(default=0.25), CATALOGUE, settings={"share": 0.75, "floor": 92.5})
    assert plan.steps[0].params["sparsity"] == 0.75
    assert plan.steps[0].gate == {"top1": ">= 92.5"}


def test_a_reference_may_be_a_parameter() -> None:
    raw = pipeline(SLIM, inputs={"model": "${which}", "data": "d"}, parameters={"which": {"default": "fashion/resnet"}})
    assert validate(raw, CATALOGUE).inputs["model"] == "fashion/resnet"


def test_lists_and_mappings_are_filled_too() -> None:
    raw = pipeline(SLIM | {"with": {"sparsity": {"deep": ["${a}"]}}}, parameters={"a": {"default": 1}})
    assert "got 1" in faults_of(raw)["steps[0].with.sparsity"].message or "deep" in str(faults_of(raw))


def test_one_fault_for_a_parameter_that_was_not_set() -> None:
    faults = faults_of(_with_parameter())
    assert list(faults) == ["parameters.share"]
    assert "--set share=VALUE" in faults["parameters.share"].suggestion


def test_an_unknown_setting_and_an_unknown_mark() -> None:
    raw = _with_parameter(default=0.5)
    raw["steps"][0]["with"]["epochs"] = "${flor}"
    faults = faults_of(raw, settings={"shar": 1})
    assert faults["parameters.shar"].suggestion == "did you mean 'share'?"
    assert faults["steps[0].with.epochs"].suggestion == "did you mean 'floor'?"
    assert len(faults) == 2


def test_a_parameter_that_nothing_uses() -> None:
    assert "no step uses it" in faults_of(pipeline(SLIM, parameters={"a": {"default": 1}}))["parameters.a"].message


def test_a_mark_under_a_key_that_means_nothing_is_one_fault() -> None:
    slim = SLIM | {"whit": {"sparsity": "${a}"}}
    assert list(faults_of(pipeline(slim, parameters={"a": {"default": 1}}))) == ["steps[0].whit"]


def test_a_wrong_value_is_told_where_it_is_used() -> None:
    fault = faults_of(_with_parameter(default=0.5), settings={"share": 3})["steps[0].with.sparsity"]
    assert "less than 1, got 3" in fault.message
    assert fault.suggestion == "Share of channels that goes."


def test_a_text_that_grows_beyond_measure_is_a_fault() -> None:
    """20,000 times 500,000 characters would be 10 GB."""
    slim = SLIM | {"with": {"sparsity": "${a}" * 20_000}}
    raw = pipeline(slim, parameters={"a": {"default": "x" * 500_000}})
    assert "more than 10,000 characters" in faults_of(raw)["steps[0].with.sparsity"].message


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("sparsity=0.7", ("sparsity", 0.7)),
        ("lr=1e-3", ("lr", 0.001)),
        ("epochs = 3", ("epochs", 3)),
        ("name=a=b", ("name", "a=b")),
        ("flag=true", ("flag", True)),
        ("sizes=[1, 2]", ("sizes", [1, 2])),
        ("empty=", ("empty", "")),
    ],
)
def test_settings_as_text(text: str, pair: tuple[str, Any]) -> None:
    assert parse_setting(text) == pair


@pytest.mark.parametrize("text", ["sparsity", "=3", " =3", "a=[1", "a=!!python/none x"])
def test_settings_that_set_nothing(text: str) -> None:
    with pytest.raises(InputError, match=r"sets nothing|cannot be read"):
        parse_setting(text)
