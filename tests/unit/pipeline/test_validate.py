"""From a file to a plan, or to all its faults."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelpress.catalogue import Kind
from modelpress.errors import SpecError
from modelpress.pipeline.spec import parse_pipeline
from modelpress.pipeline.validate import input_kinds, validate
from tests.unit.pipeline.fakes import CATALOGUE, EXAMPLE, PACK, SLIM, faults_of, pipeline, plan_of, step


def test_the_example_of_the_design_verbatim() -> None:
    plan = validate(parse_pipeline(EXAMPLE), CATALOGUE)
    assert plan.name == "slim-distill-int8"
    assert plan.inputs == {"model": "fashion/resnet", "data": "fashion-mnist"}
    assert plan.outputs == {"model": "int8.model", "package": "pack.package"}
    assert {s.id: s.inputs for s in plan.steps} == {
        "slim": {"model": "inputs.model", "data": "inputs.data"},
        "recover": {"student": "slim.model", "teacher": "inputs.model", "data": "inputs.data"},
        "int8": {"model": "recover.model", "data": "inputs.data"},
        "pack": {"model": "int8.model", "data": "inputs.data"},
        "check": {"package": "pack.package", "reference": "inputs.model", "data": "inputs.data"},
    }
    assert plan.step("recover").resolved == ("data",)
    assert plan.step("check").gate == {"top1_drop_points": "<= 0.5", "size_ratio": ">= 10"}


def test_three_faults_are_shown_with_path_line_and_suggestion() -> None:
    text = (
        EXAMPLE.replace("pruner/network-slimming", "pruner/network-slimmin")
        .replace("temperature: 4.0", "temprature: 4.0")
        .replace("size_ratio:", "size_ration:")
    )
    with pytest.raises(SpecError) as caught:
        validate(parse_pipeline(text, "p.yaml"), CATALOGUE)
    assert str(caught.value).splitlines() == [
        "p.yaml has 3 faults:",
        "  steps[0].uses (line 9, column 5): there is no method 'pruner/network-slimmin' "
        "(did you mean 'pruner/network-slimming'?)",
        "  steps[1].with.temprature (line 14, column 12): there is no parameter 'temprature' "
        "(did you mean 'temperature'?)",
        "  steps[4].gate.size_ration (line 23, column 40): evaluator/classification reports no 'size_ration' "
        "(did you mean 'size_ratio'?)",
    ]


def test_faults_of_syntax_structure_and_meaning_are_shown_together() -> None:
    text = (
        EXAMPLE.replace("metadata:", "metdata: {}\nmetadata:")
        .replace("int8.model", "int8.modl")
        .replace("  - id: int8\n", "  - id: int8\n    id: int8\n")
    )
    with pytest.raises(SpecError) as caught:
        validate(parse_pipeline(text), CATALOGUE)
    assert [(f.path, f.line) for f in caught.value.violations] == [
        ("metdata", 3),
        ("steps[2].id", 17),
        ("outputs.model", 26),
    ]


def test_what_the_file_lacks_has_no_line() -> None:
    with pytest.raises(SpecError) as caught:
        validate(parse_pipeline(EXAMPLE.replace("kind: Pipeline\n", "")), CATALOGUE)
    assert [(f.path, f.line) for f in caught.value.violations] == [("kind", 0)]


class TestParameters:
    @pytest.mark.parametrize(
        ("params", "path", "message", "suggestion"),
        [
            ({"sparsty": 0.5}, "sparsty", "there is no parameter 'sparsty'", "did you mean 'sparsity'?"),
            ({"sparsity": 1.5}, "sparsity", "less than 1, got 1.5", "Share of channels that goes."),
            ({"sparsity": "half"}, "sparsity", "got 'half'", "Share of channels"),
            ({"epochs": 1.5}, "epochs", "got 1.5", "Epochs of training."),
            ({"epochs": True}, "epochs", "must be no truth value, got true", ""),
            ({"sparsity": math.nan}, "sparsity", "got nan", "Share of channels"),
        ],
    )
    def test_faults(self, params: dict[str, Any], path: str, message: str, suggestion: str) -> None:
        fault = faults_of(pipeline(SLIM | {"with": params}))[f"steps[0].with.{path}"]
        assert message in fault.message
        assert suggestion in fault.suggestion

    def test_infinity_where_the_method_sets_no_bound(self) -> None:
        kd = step("k", "distiller/kd", **{"with": {"temperature": math.inf}})
        assert "finite" in faults_of(pipeline(kd))["steps[0].with.temperature"].message

    def test_a_missing_one(self) -> None:
        copy = step("copy", "other/copy", inputs={"source": "inputs.model"})
        fault = faults_of(pipeline(copy))["steps[0].with.times"]
        assert (fault.message, fault.suggestion) == ("is missing", "How often.")

    def test_all_of_them_at_once(self) -> None:
        faults = faults_of(pipeline(SLIM | {"with": {"sparsity": 2, "epochs": -1, "lr": 1}}))
        assert set(faults) == {f"steps[0].with.{name}" for name in ("sparsity", "epochs", "lr")}

    def test_defaults_are_filled_and_the_given_are_known(self) -> None:
        planned = plan_of(SLIM | {"with": {"sparsity": 0.6}}).steps[0]
        assert planned.params == {"sparsity": 0.6, "epochs": 3}
        assert planned.given == ("sparsity",)


class TestGates:
    def test_spelling_is_canonical(self) -> None:
        assert plan_of(SLIM | {"gate": {"top1": ">=90.0"}}).steps[0].gate == {"top1": ">= 90"}

    @pytest.mark.parametrize("condition", ["90", 90, "~ 3", None, ["<= 3"]])
    def test_what_is_no_condition(self, condition: object) -> None:
        fault = faults_of(pipeline(SLIM | {"gate": {"top1": condition}}))["steps[0].gate.top1"]
        assert "is no condition" in fault.message

    def test_a_method_without_metrics(self) -> None:
        fault = faults_of(pipeline(PACK | {"gate": {"top1": "> 1"}}))["steps[0].gate.top1"]
        assert (fault.message, fault.suggestion) == ("quantizer/package reports no 'top1'", "there are none")


class TestInputs:
    def test_the_run_goes_before_the_file(self) -> None:
        plan = validate(pipeline(SLIM), CATALOGUE, {"model": "other"})
        assert plan.inputs == {"model": "other", "data": "d"}

    def test_an_unknown_one(self) -> None:
        assert faults_of(pipeline(SLIM), inputs={"modle": "x"})["inputs.modle"].suggestion == "did you mean 'model'?"

    def test_without_reference(self) -> None:
        raw = pipeline(SLIM, inputs={"model": None, "data": "d"})
        assert "has no reference" in faults_of(raw)["inputs.model"].message
        assert validate(raw, CATALOGUE, {"model": "m"}).inputs["model"] == "m"
        assert validate(raw, CATALOGUE, require_inputs=False).inputs == {"model": "", "data": "d"}

    def test_what_is_no_reference(self) -> None:
        assert (
            "3 is no reference" in faults_of(pipeline(SLIM, inputs={"model": 3, "data": "d"}))["inputs.model"].message
        )

    def test_their_kinds_by_what_reads_them(self) -> None:
        kd = step("k", "distiller/kd", inputs={"teacher": "inputs.big"})
        check = step("check", "evaluator/classification", inputs={"package": "inputs.file", "reference": "inputs.ref"})
        inputs = {"model": "m", "data": "d", "big": "b", "file": "f", "ref": "r", "idle": "i"}
        assert input_kinds(plan_of(kd, check, inputs=inputs), CATALOGUE) == {
            "model": {Kind.MODEL},
            "data": {Kind.DATASET},
            "big": {Kind.MODEL},
            "file": {Kind.PACKAGE},
            "ref": {Kind.MODEL, Kind.PACKAGE},
            "idle": set(Kind),
        }

    def test_one_that_is_read_as_two_kinds(self) -> None:
        kd = step("k", "distiller/kd", inputs={"teacher": "inputs.x", "data": "inputs.x"})
        faults = faults_of(pipeline(kd, inputs={"model": "m", "data": "d", "x": "x"}))
        assert list(faults) == ["inputs.x"]


class TestOutputs:
    def test_an_input_may_be_one(self) -> None:
        assert plan_of(SLIM, outputs={"before": "inputs.model"}).outputs == {"before": "inputs.model"}

    @pytest.mark.parametrize("reference", ["slim.modl", "slm.model", "slim", 3, "inputs.x"])
    def test_what_names_nothing(self, reference: object) -> None:
        assert list(faults_of(pipeline(SLIM, outputs={"model": reference}))) == ["outputs.model"]


def test_the_seed_of_the_run_goes_before_the_files() -> None:
    assert plan_of(SLIM, seed=7).seed == 7
    assert validate(pipeline(SLIM, seed=7), CATALOGUE, seed=0).seed == 0


def test_a_plan_survives_json() -> None:
    plan = validate(parse_pipeline(EXAMPLE), CATALOGUE)
    assert type(plan).model_validate_json(plan.model_dump_json()) == plan


_KEYS = st.sampled_from(["id", "uses", "inputs", "with", "gate", "model", "data", "student", "top1", "sparsity", "x"])
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["slim", "slim.model", "inputs.model", "inputs.data", "${x}", "<= 3", *CATALOGUE.names()])
)
_ANYTHING = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5), max_leaves=12
)
_TOP = st.sampled_from(["apiVersion", "kind", "metadata", "inputs", "steps", "outputs", "parameters", "seed", "other"])


def _outcome(raw: dict[str, Any]) -> Sequence[object]:
    try:
        return validate(raw, CATALOGUE).steps
    except SpecError as e:
        return e.violations


@given(st.dictionaries(_TOP, _ANYTHING | st.lists(st.dictionaries(_KEYS, _ANYTHING, max_size=5), max_size=3)))
def test_whatever_is_given_is_planned_or_refused(top: dict[str, Any]) -> None:
    assert _outcome(pipeline(SLIM) | top)
