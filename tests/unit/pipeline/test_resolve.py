"""What each step reads: defaults, branches, references, kinds, forms."""

from __future__ import annotations

import pytest

from tests.unit.pipeline.fakes import INT8, PACK, SLIM, faults_of, pipeline, plan_of, step


def test_a_chain_is_filled_from_the_nearest_earlier_model() -> None:
    plan = plan_of(SLIM, step("recover", "distiller/kd"), INT8, PACK)
    assert plan.step("slim").inputs == {"model": "inputs.model", "data": "inputs.data"}
    assert plan.step("recover").inputs == {"student": "slim.model", "teacher": "inputs.model", "data": "inputs.data"}
    assert plan.step("recover").resolved == ("student", "teacher", "data")
    assert plan.step("int8").inputs["model"] == "recover.model"
    assert plan.step("pack").inputs["model"] == "int8.model"


def test_an_omitted_package_is_the_newest_and_an_omitted_reference_the_original() -> None:
    plan = plan_of(SLIM, PACK, step("check", "evaluator/classification"))
    assert plan.step("check").inputs == {"package": "pack.package", "reference": "inputs.model", "data": "inputs.data"}


def test_an_optional_port_whose_default_is_of_another_kind_stays_empty() -> None:
    plan = plan_of(PACK, step("speed", "hardware-profiler/latency"))
    assert plan.step("speed").inputs == {"package": "pack.package"}


def test_an_optional_port_is_filled_where_its_default_is_there() -> None:
    filters = step("filters", "pruner/l1-filter")
    assert plan_of(filters).steps[0].inputs == {"model": "inputs.model", "data": "inputs.data"}
    assert plan_of(filters, inputs={"model": "m"}).steps[0].inputs == {"model": "inputs.model"}


def test_packaging_a_model_does_not_supersede_it() -> None:
    plan = plan_of(SLIM, PACK, step("again", "quantizer/package"))
    assert plan.step("again").inputs["model"] == "slim.model"


def test_two_parallel_branches_are_named() -> None:
    plain = step("plain", "quantizer/ptq-int8", inputs={"model": "inputs.model"})
    fault = faults_of(pipeline(SLIM, INT8, plain, PACK))["steps[3].inputs.model"]
    assert fault.message == "2 branches give a model: 'int8.model' or 'plain.model'"


def test_two_packages_are_named() -> None:
    dense = step("dense", "quantizer/package", inputs={"model": "inputs.model"})
    fault = faults_of(pipeline(SLIM, PACK, dense, step("check", "evaluator/classification")))["steps[3].inputs.package"]
    assert "'pack.package' or 'dense.package'" in fault.message


def test_a_branch_that_is_named_is_no_fault() -> None:
    plain = step("plain", "quantizer/ptq-int8", inputs={"model": "inputs.model"})
    pack = step("pack", "quantizer/package", inputs={"model": "plain.model"})
    assert plan_of(SLIM, INT8, plain, pack).step("pack").inputs["model"] == "plain.model"


def test_a_teacher_is_not_superseded_by_its_student() -> None:
    """Two models are there after it: the student's, and the teacher that was made for it."""
    recover = step("recover", "distiller/kd", inputs={"student": "inputs.model", "teacher": "slim.model"})
    fault = faults_of(pipeline(SLIM, recover, INT8))["steps[2].inputs.model"]
    assert "'slim.model' or 'recover.model'" in fault.message


@pytest.mark.parametrize(
    ("reference", "message", "suggestion"),
    [
        ("slm.model", "there is no step 'slm'", "did you mean 'slim'?"),
        ("slim.modl", "step 'slim' has no output 'modl'", "did you mean 'model'?"),
        ("input.model", "there is no step 'input'", "did you mean 'inputs'?"),
        ("inputs.modle", "the pipeline has no input 'modle'", "did you mean 'model'?"),
        ("slim", "'slim' is no reference", "<step>.<output>"),
        ("slim.", "is no reference", "<step>.<output>"),
        (3, "3 is no reference", "<step>.<output>"),
        (None, "None is no reference", "<step>.<output>"),
        ("int8.model", "step 'int8' reads its own output", "earlier step"),
        ("pack.package", "step 'pack' comes later", "move 'pack' above"),
        ("inputs.data", "'inputs.data' is a dataset, quantizer/ptq-int8 takes a model", "inputs.model, slim.model"),
    ],
)
def test_references_that_name_nothing_usable(reference: object, message: str, suggestion: str) -> None:
    int8 = INT8 | {"inputs": {"model": reference}}
    faults = faults_of(pipeline(SLIM, int8, PACK | {"inputs": {"model": "slim.model"}}))
    assert list(faults) == ["steps[1].inputs.model"]
    assert message in faults["steps[1].inputs.model"].message
    assert suggestion in faults["steps[1].inputs.model"].suggestion


def test_a_cycle_is_a_reference_to_a_later_step() -> None:
    a = step("a", "pruner/l1-filter", inputs={"model": "b.model"})
    b = step("b", "pruner/l1-filter", inputs={"model": "a.model"})
    assert "step 'b' comes later" in faults_of(pipeline(a, b))["steps[0].inputs.model"].message


def test_a_package_where_a_model_is_wanted() -> None:
    fault = faults_of(pipeline(PACK, INT8 | {"inputs": {"model": "pack.package"}}))["steps[1].inputs.model"]
    assert "'pack.package' is a package, quantizer/ptq-int8 takes a model" in fault.message


def test_a_port_may_take_two_kinds() -> None:
    dense = step("dense", "quantizer/package", inputs={"model": "inputs.model"})
    check = step("check", "evaluator/classification", inputs={"package": "pack.package", "reference": "dense.package"})
    assert plan_of(SLIM, PACK, dense, check).step("check").inputs["reference"] == "dense.package"
    check["inputs"]["reference"] = "inputs.data"
    fault = faults_of(pipeline(SLIM, PACK, dense, check))["steps[3].inputs.reference"]
    assert "takes a model or package" in fault.message


def test_an_unknown_port() -> None:
    fault = faults_of(pipeline(INT8 | {"inputs": {"modle": "inputs.model"}}))["steps[0].inputs.modle"]
    assert fault.suggestion == "did you mean 'model'?"


def test_a_port_without_default_must_be_given() -> None:
    faults = faults_of(pipeline(step("copy", "other/copy", **{"with": {"times": 1}})))
    assert list(faults) == ["steps[0].inputs.source"]
    assert faults["steps[0].inputs.source"].suggestion == "there is inputs.model"


def test_a_missing_package_is_told() -> None:
    assert list(faults_of(pipeline(SLIM, step("check", "evaluator/classification")))) == ["steps[1].inputs.package"]


def test_an_undeclared_input_is_told_once_with_its_readers() -> None:
    faults = faults_of(pipeline(SLIM, INT8, inputs={"model": "m"}))
    assert list(faults) == ["inputs.data"]
    assert "'slim', 'int8' would read it" in faults["inputs.data"].message


def test_duplicate_ids() -> None:
    fault = faults_of(pipeline(SLIM, INT8 | {"id": "slim"}))["steps[1].id"]
    assert fault.message == "'slim' is taken by steps[0]"


class TestForms:
    def test_quantized_models_are_not_trained(self) -> None:
        fault = faults_of(pipeline(INT8, step("recover", "distiller/kd")))["steps[1].inputs.student"]
        assert fault.message == "'int8.model' is quantized, distiller/kd takes constrained or dense"
        assert fault.suggestion == "put this step before 'int8'"

    def test_a_named_reference_is_checked_too(self) -> None:
        recover = step("recover", "distiller/kd", inputs={"student": "inputs.model", "teacher": "int8.model"})
        assert list(faults_of(pipeline(INT8, recover))) == ["steps[1].inputs.teacher"]

    def test_a_method_of_several_forms_keeps_its_models(self) -> None:
        mask, recover = step("mask", "pruner/magnitude"), step("recover", "distiller/kd")
        assert plan_of(SLIM, recover, INT8).step("int8").inputs["model"] == "recover.model"
        fault = faults_of(pipeline(mask, recover, INT8))["steps[2].inputs.model"]
        assert fault.message == "'recover.model' is constrained, quantizer/ptq-int8 takes dense"

    def test_any_form_is_packaged(self) -> None:
        assert plan_of(step("mask", "pruner/magnitude"), PACK).step("pack").inputs["model"] == "mask.model"


class TestOneFaultDoesNotLookLikeTwo:
    def test_an_unknown_method(self) -> None:
        typo = step("int8", "quantizer/ptq-int9")
        rest = (PACK, step("check", "evaluator/classification"))
        assert list(faults_of(pipeline(SLIM, typo, *rest, outputs={"x": "int8.anything"}))) == ["steps[1].uses"]

    @pytest.mark.parametrize("between", [step("float", "quantizer/to-float"), {"uses": "pruner/l1-filter"}])
    def test_what_stands_below_it(self, between: dict[str, object]) -> None:
        """What the step in the middle would have given is unknown, so the student's form is not judged."""
        between |= {"inputs": {"model": "inputs.model"}}
        faults = faults_of(pipeline(INT8, between, step("recover", "distiller/kd")))
        assert list(faults) in (["steps[1].uses"], ["steps[1].id"])

    def test_a_faulty_reference_in_the_middle(self) -> None:
        recover = step("recover", "distiller/kd", inputs={"student": "slm.model"})
        assert list(faults_of(pipeline(SLIM, recover, INT8, PACK))) == ["steps[1].inputs.student"]
        again = step("again", "distiller/kd")
        assert list(faults_of(pipeline(INT8, recover, again))) == ["steps[1].inputs.student"]

    def test_a_second_step_of_one_name_that_reads_the_first(self) -> None:
        again = SLIM | {"inputs": {"model": "slim.model"}}
        assert list(faults_of(pipeline(SLIM, again))) == ["steps[1].id"]

    def test_a_step_without_id(self) -> None:
        assert list(faults_of(pipeline(SLIM, {"uses": "quantizer/ptq-int8"}, PACK))) == ["steps[1].id"]
