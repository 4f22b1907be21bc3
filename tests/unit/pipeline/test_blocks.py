"""Rounds, branches and groups: what they unroll to, and what their steps read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelpress.catalogue import Kind
from modelpress.errors import SpecError
from modelpress.pipeline.faults import MAX_FAULTS
from modelpress.pipeline.plan import Plan
from modelpress.pipeline.render import render_plan
from modelpress.pipeline.unroll import MAX_ID, MAX_STEPS
from modelpress.pipeline.validate import input_kinds, validate
from tests.unit.pipeline.fakes import CATALOGUE, INT8, PACK, SLIM, faults_of, pipeline, plan_of, step

PRUNE = step("prune", "pruner/l1-filter")
TRAIN = step("train", "distiller/kd")
CHECK = step("check", "evaluator/classification")


def rounds(*steps: dict[str, Any], times: Any = 2, **more: Any) -> dict[str, Any]:
    return {"id": "rounds", "repeat": {"times": times}, "steps": list(steps)} | more


def sweep(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    axes = {"share": [0.3, 0.5], "epochs": [1, 2]}
    pruned = PRUNE | {"with": {"sparsity": "${share}", "epochs": "${epochs}"}}
    return {"id": "sweep", "matrix": axes, "steps": [pruned, *steps]} | more


class TestRepeat:
    def test_an_omitted_model_continues_from_the_round_before(self) -> None:
        plan = plan_of(SLIM, rounds(PRUNE, TRAIN), PACK)
        assert {s.id: s.inputs.get("model", s.inputs.get("student")) for s in plan.steps} == {
            "slim": "inputs.model",
            "rounds-1-prune": "slim.model",
            "rounds-1-train": "rounds-1-prune.model",
            "rounds-2-prune": "rounds-1-train.model",
            "rounds-2-train": "rounds-2-prune.model",
            "pack": "rounds-2-train.model",
        }

    def test_a_name_inside_is_this_rounds_and_outside_the_last_rounds(self) -> None:
        check = step("check", "distiller/kd", inputs={"student": "prune.model", "teacher": "slim.model"})
        after = step("after", "quantizer/package", inputs={"model": "rounds.prune.model"})
        first = step("first", "quantizer/package", inputs={"model": "rounds[1].prune.model"})
        plan = plan_of(SLIM, rounds(PRUNE, check), after, first)
        assert plan.step("rounds-2-check").inputs["student"] == "rounds-2-prune.model"
        assert plan.step("rounds-2-check").inputs["teacher"] == "slim.model"
        assert plan.step("after").inputs["model"] == "rounds-2-prune.model"
        assert plan.step("first").inputs["model"] == "rounds-1-prune.model"

    def test_packages_of_each_round_are_its_own(self) -> None:
        plan = plan_of(rounds(PRUNE, PACK, CHECK), step("last", "evaluator/classification"))
        assert plan.step("rounds-2-check").inputs["package"] == "rounds-2-pack.package"
        assert plan.step("last").inputs["package"] == "rounds-2-pack.package"

    def test_the_round_is_a_parameter(self) -> None:
        plan = plan_of(rounds(PRUNE | {"with": {"epochs": "${round}"}}, times=3))
        assert [s.params["epochs"] for s in plan.steps] == [1, 2, 3]

    def test_times_may_be_a_parameter(self) -> None:
        raw = pipeline(rounds(PRUNE, times="${n}"), parameters={"n": {"default": 2}})
        assert len(validate(raw, CATALOGUE).steps) == 2
        assert len(validate(raw, CATALOGUE, settings={"n": 5}).steps) == 5

    def test_a_single_step_is_repeated(self) -> None:
        plan = plan_of(PRUNE | {"repeat": {"times": 2}}, PACK)
        assert [s.id for s in plan.steps] == ["prune-1", "prune-2", "pack"]
        assert plan.step("prune-2").inputs["model"] == "prune-1.model"
        assert plan.step("pack").inputs["model"] == "prune-2.model"

    def test_outputs_say_what_goes_on(self) -> None:
        """Without them the next round would be given the quantized model, which cannot be pruned."""
        int8 = step("int8", "quantizer/ptq-int8")
        assert "quantized" in faults_of(pipeline(rounds(PRUNE, int8)))["steps[0].steps[0].inputs.model"].message
        plan = plan_of(rounds(PRUNE, int8, outputs={"model": "prune.model", "small": "int8.model"}), PACK)
        assert plan.step("rounds-2-prune").inputs["model"] == "rounds-1-prune.model"
        assert plan.step("pack").inputs["model"] == "rounds-2-prune.model"
        small = PACK | {"inputs": {"model": "rounds.small"}}
        outputs = {"model": "prune.model", "small": "int8.model"}
        assert (
            plan_of(rounds(PRUNE, int8, outputs=outputs), small).step("pack").inputs["model"] == "rounds-2-int8.model"
        )

    @pytest.mark.parametrize("times", [0, -1, True, 1.5, "two", None, [2]])
    def test_what_is_no_number_of_rounds(self, times: object) -> None:
        assert list(faults_of(pipeline(rounds(PRUNE, times=times), PACK))) == ["steps[0].repeat.times"]

    @pytest.mark.parametrize(
        ("repeat", "path"), [({}, "repeat.times"), (3, "repeat"), (None, "repeat"), ({"times": 2, "n": 1}, "repeat.n")]
    )
    def test_what_is_no_repeat(self, repeat: object, path: str) -> None:
        assert list(faults_of(pipeline(rounds(PRUNE) | {"repeat": repeat}))) == [f"steps[0].{path}"]


class TestMatrix:
    def test_the_product_in_order_the_last_axis_first(self) -> None:
        plan = plan_of(sweep())
        assert [s.id for s in plan.steps] == [f"sweep-{n}-prune" for n in (1, 2, 3, 4)]
        assert [tuple(s.params.values()) for s in plan.steps] == [(0.3, 1), (0.3, 2), (0.5, 1), (0.5, 2)]

    def test_branches_do_not_see_each_other(self) -> None:
        plan = plan_of(SLIM, sweep(PACK))
        assert {s.inputs["model"] for s in plan.steps if s.uses == "pruner/l1-filter"} == {"slim.model"}
        assert plan.step("sweep-2-pack").inputs["model"] == "sweep-2-prune.model"

    def test_a_single_step_fans_out(self) -> None:
        pruned = PRUNE | {"matrix": {"share": [0.3, 0.5]}, "with": {"sparsity": "${share}"}}
        plan = plan_of(pruned, step("a", "quantizer/package", inputs={"model": "prune[2].model"}))
        assert [s.id for s in plan.steps] == ["prune-1", "prune-2", "a"]
        assert [s.inputs["model"] for s in plan.steps] == ["inputs.model", "inputs.model", "prune-2.model"]

    @pytest.mark.parametrize(
        ("reference", "sources"),
        [
            ("sweep.pack.package", (1, 2, 3, 4)),
            ("sweep[*].pack.package", (1, 2, 3, 4)),
            ("sweep[3].pack.package", (3,)),
            ("sweep[share=0.5].pack.package", (3, 4)),
            ("sweep[epochs=1, share=0.50].pack.package", (3,)),
            (["sweep[4].pack.package", "sweep[1].pack.package"], (4, 1)),
        ],
    )
    def test_a_port_that_takes_many(self, reference: object, sources: tuple[int, ...]) -> None:
        select = step("select", "evaluator/select", inputs={"packages": reference})
        plan = plan_of(sweep(PACK), select)
        assert plan.step("select").inputs["packages"] == tuple(f"sweep-{n}-pack.package" for n in sources)

    def test_what_was_chosen_from_is_superseded(self) -> None:
        select = step("select", "evaluator/select", inputs={"packages": "sweep.pack.package"})
        assert plan_of(sweep(PACK), select, CHECK).step("check").inputs["package"] == "select.package"

    def test_every_round_can_be_chosen_from(self) -> None:
        select = step("select", "evaluator/select", inputs={"packages": "rounds[*].pack.package"})
        plan = plan_of(rounds(PRUNE, PACK), select)
        assert plan.step("select").inputs["packages"] == ("rounds-1-pack.package", "rounds-2-pack.package")
        assert plan.step("select").needs == {"rounds-1-pack", "rounds-2-pack"}

    def test_a_port_that_takes_one_needs_a_branch(self) -> None:
        omitted = faults_of(pipeline(sweep(), PACK))["steps[1].inputs.model"]
        assert omitted.message.startswith("4 branches give a model: 'sweep[1].prune.model' or 'sweep[2].prune.model'")
        given = PACK | {"inputs": {"model": "sweep[share=0.3].prune.model"}}
        fault = faults_of(pipeline(sweep(), given))["steps[1].inputs.model"]
        assert "is 2 branches, quantizer/package takes one: 'sweep[1].prune.model', 'sweep[2].prune" in fault.message

    @pytest.mark.parametrize(
        ("reference", "message", "suggestion"),
        [
            ("sweep[5].prune.model", "'sweep' has no [5]", "from 1 to 4"),
            ("sweep[0].prune.model", "'sweep' has no [0]", "from 1 to 4"),
            ("sweep[9999999999].prune.model", "'sweep' has no [9999999999]", "from 1 to 4"),
            ("sweep[shar=0.3].prune.model", "'sweep' has no axis 'shar'", "did you mean 'share'?"),
            ("sweep[share=0.4].prune.model", "no branch [share=0.4]", "share: 0.3, 0.5"),
            ("sweep[share].prune.model", "chooses nothing", "axis=value"),
            ("sweep[].prune.model", "chooses nothing", "axis=value"),
            ("sweep[1].prun.model", "'sweep' has no step 'prun'", "did you mean 'prune'?"),
            ("sweep[1].model", "'sweep[1]' has no output 'model'", "sweep[1].<step>.model"),
            ("sweep[1].prune.x.model", "'sweep.prune' is a step, not a block", "sweep.prune.<output>"),
            ("slim[1].model", "'slim' stands once", "without [1]"),
            ("sweep-1-prune.model", "there is no step 'sweep-1-prune'", "known"),
            ("sweep[1.model", "is no reference", "<step>.<output>"),
        ],
    )
    def test_what_names_no_branch(self, reference: str, message: str, suggestion: str) -> None:
        fault = faults_of(pipeline(SLIM, sweep(), PACK | {"inputs": {"model": reference}}))["steps[2].inputs.model"]
        assert message in fault.message
        assert suggestion in fault.suggestion

    @pytest.mark.parametrize(
        ("matrix", "path", "message"),
        [
            ({}, "", "has no values"),
            ([1], "", "must be a mapping"),
            ({"a b": [1]}, ".a b", "is no name"),
            ({"share": []}, ".share", "must be a list of values"),
            ({"share": 3}, ".share", "must be a list of values"),
            ({"share": "${missing}"}, ".share", "there is no parameter 'missing'"),
            ({"limit": [1]}, ".limit", "taken by parameters.limit"),
        ],
    )
    def test_what_is_no_matrix(self, matrix: object, path: str, message: str) -> None:
        raw = pipeline(PRUNE | {"matrix": matrix}, PACK, parameters={"limit": {"default": 1}})
        faults = faults_of(raw)
        assert list(faults) == [f"steps[0].matrix{path}"]
        assert message in faults[f"steps[0].matrix{path}"].message

    def test_an_axis_that_nothing_uses(self) -> None:
        axes = {"share": [0.3], "bits": [4, 8]}
        pruned = PRUNE | {"with": {"sparsity": "${share}"}, "matrix": axes}
        assert list(faults_of(pipeline(pruned))) == ["steps[0].matrix.bits"]

    def test_a_list_may_be_a_parameter_and_may_hold_some(self) -> None:
        pruned = PRUNE | {"with": {"sparsity": "${share}"}, "matrix": {"share": "${shares}"}}
        raw = pipeline(pruned, parameters={"shares": {"default": [0.1, 0.2]}})
        assert [s.params["sparsity"] for s in validate(raw, CATALOGUE).steps] == [0.1, 0.2]
        assert len(validate(raw, CATALOGUE, settings={"shares": [0.9]}).steps) == 1
        raw["steps"][0]["matrix"] = {"share": [0.5, "${one}"]}
        raw["parameters"] = {"one": {"default": 0.7}}
        assert validate(raw, CATALOGUE).steps[1].params["sparsity"] == 0.7


class TestNesting:
    def test_rounds_in_branches(self) -> None:
        block = {"id": "s", "matrix": {"share": [0.3, 0.5]}, "steps": [
            rounds(PRUNE | {"with": {"sparsity": "${share}", "epochs": "${round}"}}), PACK,
        ]}  # fmt: skip
        plan = plan_of(SLIM, block, step("x", "quantizer/package", inputs={"model": "s[2].rounds.prune.model"}))
        assert plan.step("s-2-rounds-1-prune").inputs["model"] == "slim.model"
        assert plan.step("s-2-rounds-2-prune").params == {"sparsity": 0.5, "epochs": 2}
        assert plan.step("s-2-pack").inputs["model"] == "s-2-rounds-2-prune.model"
        assert plan.step("x").inputs["model"] == "s-2-rounds-2-prune.model"

    def test_branches_in_rounds_continue_from_what_the_block_gives(self) -> None:
        tries = PRUNE | {"id": "try", "matrix": {"share": [0.3, 0.5]}, "with": {"sparsity": "${share}"}}
        fault = faults_of(pipeline(rounds(tries)))["steps[0].steps[0].inputs.model"]
        assert "2 branches give a model" in fault.message
        plan = plan_of(rounds(tries, outputs={"model": "try[1].model"}))
        assert plan.step("rounds-2-try-2").inputs["model"] == "rounds-1-try-1.model"

    def test_a_group_stands_once(self) -> None:
        plan = plan_of(SLIM, {"id": "g", "steps": [PRUNE, TRAIN]}, PACK, outputs={"model": "g.prune.model"})
        assert [s.id for s in plan.steps] == ["slim", "g-prune", "g-train", "pack"]
        assert plan.step("pack").inputs["model"] == "g-train.model"
        assert plan.outputs == {"model": "g-prune.model"}

    def test_a_block_is_not_named_from_inside(self) -> None:
        inner = TRAIN | {"inputs": {"teacher": "rounds.prune.model"}}
        fault = faults_of(pipeline(rounds(PRUNE, inner)))["steps[0].steps[1].inputs.teacher"]
        assert fault.message == "'rounds' is the block that this stands in"

    def test_a_later_step_of_the_block_comes_later(self) -> None:
        fault = faults_of(pipeline(rounds(PRUNE | {"inputs": {"model": "train.model"}}, TRAIN)))
        assert "'train' comes later" in fault["steps[0].steps[0].inputs.model"].message


class TestWhen:
    def test_metrics_of_earlier_steps(self) -> None:
        plan = plan_of(PACK, CHECK, TRAIN | {"when": {"check.top1_drop_points": "<=1.0"}})
        assert plan.step("train").when == {"check.top1_drop_points": "<= 1"}
        assert plan.step("train").needs == {"check"}
        assert "when    check.top1_drop_points <= 1" in render_plan(plan, CATALOGUE)

    def test_a_blocks_conditions_are_those_of_its_steps(self) -> None:
        inner = PRUNE | {"when": {"check.size_ratio": "> 2"}}
        block = rounds(inner, TRAIN, times="${n}", when={"check.top1": ">= ${least}"})
        raw = pipeline(PACK, CHECK, block, parameters={"n": {"default": 2}, "least": {"default": 90}})
        plan = validate(raw, CATALOGUE)
        assert plan.step("rounds-2-prune").when == {"check.top1": ">= 90", "check.size_ratio": "> 2"}
        assert plan.step("rounds-2-train").when == {"check.top1": ">= 90"}

    def test_this_rounds_metrics(self) -> None:
        plan = plan_of(rounds(PRUNE, PACK, CHECK, TRAIN | {"when": {"check.top1": "> 1"}}))
        assert plan.step("rounds-2-train").when == {"rounds-2-check.top1": "> 1"}

    @pytest.mark.parametrize(
        ("key", "condition", "message", "suggestion"),
        [
            ("check.top2", "> 1", "reports no 'top2'", "did you mean 'top1'?"),
            ("chek.top1", "> 1", "there is no step 'chek'", "did you mean 'check'?"),
            ("check", "> 1", "names no metric", "<step>.<metric>"),
            ("inputs.model", "> 1", "names no metric", "<step>.<metric>"),
            ("later.top1", "> 1", "'later' comes later", "above"),
            ("train.top1", "> 1", "reads its own", "earlier step"),
            ("check.top1", "1", "is no condition", "as in '<= 0.5'"),
            ("many.top1", "> 1", "that of 2 branches", "name the one"),
            ("group.top1", "> 1", "'group' is a block", "'group.<step>.top1'"),
        ],
    )
    def test_faults(self, key: str, condition: str, message: str, suggestion: str) -> None:
        many = step("many", "evaluator/classification", matrix={"n": ["pack.package", "inputs.file"]})
        many["inputs"] = {"package": "${n}"}
        group = {"id": "group", "steps": [CHECK | {"inputs": {"package": "pack.package"}}]}
        steps = (PACK, CHECK, many, group, TRAIN | {"when": {key: condition}}, CHECK | {"id": "later"})
        faults = faults_of(pipeline(*steps, inputs={"model": "m", "data": "d", "file": "f"}))
        assert list(faults) == [f"steps[4].when.{key}"]
        assert message in faults[f"steps[4].when.{key}"].message
        assert suggestion in faults[f"steps[4].when.{key}"].suggestion

    def test_two_conditions_on_one_metric(self) -> None:
        block = rounds(PRUNE | {"when": {"check.top1": "< 95"}}, when={"check.top1": "> 90"})
        fault = faults_of(pipeline(PACK, CHECK, block))["steps[2].steps[0].when.check.top1"]
        assert "another condition on it: > 90" in fault.message


class TestSizes:
    def test_the_number_is_told(self) -> None:
        block = rounds(rounds(PRUNE, TRAIN, times=100) | {"id": "inner"}, times=200)
        fault = faults_of(pipeline(block))["steps[0]"]
        assert "200 times 200 steps, 40,000 in all; a pipeline has at most 10,000" in fault.message

    def test_numbers_beyond_reason_are_quick(self) -> None:
        assert "1,000,000,000,000 copies" in faults_of(pipeline(rounds(PRUNE, times=10**12)))["steps[0]"].message
        axes = {f"a{n}": list(range(100)) for n in range(20)}
        assert "copies" in faults_of(pipeline(PRUNE | {"matrix": axes}))["steps[0]"].message

    def test_blocks_that_together_are_too_many(self) -> None:
        blocks = [rounds(PRUNE, times=6_000) | {"id": name} for name in ("a", "b")]
        assert "more than 10,000 steps in all" in faults_of(pipeline(*blocks))["steps[1].steps[0]"].message

    def test_the_largest_is_planned(self) -> None:
        share = [n / 101 for n in range(1, 101)]
        pruned = PRUNE | {"matrix": {"share": share}, "with": {"sparsity": "${share}"}}
        plan = plan_of(rounds(pruned, times=100, outputs={"model": "prune[1].model"}))
        assert len(plan.steps) == MAX_STEPS

    def test_ids_that_are_too_long_for_a_file_name(self) -> None:
        block: dict[str, Any] = PRUNE
        for _ in range(5):
            block = {"id": "b" * (MAX_ID // 4), "steps": [block]}
        assert list(faults_of(pipeline(block))) == [f"steps[0]{'.steps[0]' * 5}.id"]


class TestFaults:
    def test_more_than_anyone_reads_are_not_looked_for(self) -> None:
        many = [step(f"s{n}", "quantizer/package", inputs={"model": "nope.model"}) for n in range(MAX_STEPS)]
        with pytest.raises(SpecError) as caught:
            validate(pipeline(*many), CATALOGUE)
        assert len(caught.value.violations) == MAX_FAULTS + 1
        assert "more than these 200" in caught.value.violations[-1].message

    def test_one_in_a_block_is_told_once(self) -> None:
        raw = pipeline(sweep(PACK | {"inputs": {"model": "prun.model"}}, CHECK | {"gate": {"top": "> 1"}}))
        assert list(faults_of(raw)) == ["steps[0].steps[1].inputs.model", "steps[0].steps[2].gate.top"]

    def test_ids_that_unroll_to_the_same(self) -> None:
        fault = faults_of(pipeline(rounds(PRUNE), PRUNE | {"id": "rounds-2-prune"}))["steps[1].id"]
        assert fault.message == "unrolls to 'rounds-2-prune', as does steps[0].steps[0]"

    def test_what_an_unknown_method_hides(self) -> None:
        assert list(faults_of(pipeline(rounds(step("prune", "pruner/l2-filter"), TRAIN), PACK))) == [
            "steps[0].steps[0].uses"
        ]

    @pytest.mark.parametrize(
        ("change", "path"),
        [
            ({"with": {"a": 1}}, "with"),
            ({"gate": {}}, "gate"),
            ({"resources": {}}, "resources"),
            ({"uses": "pruner/l1-filter"}, "steps"),
            ({"matrix": {"a": [1]}}, "matrix"),
            ({"steps": []}, "steps"),
            ({"steps": [3]}, "steps[0]"),
            ({"outputs": {"x": "prune.modl"}}, "outputs.x"),
            ({"outputs": {"x": ["prune.model"]}}, "outputs.x"),
        ],
    )
    def test_of_a_block(self, change: dict[str, Any], path: str) -> None:
        assert f"steps[0].{path}" in faults_of(pipeline(rounds(PRUNE) | change))


def test_lists_for_ports() -> None:
    other = step("other", "quantizer/package", inputs={"model": "inputs.model"})
    both = step("select", "evaluator/select", inputs={"packages": ["pack.package", "inputs.file", "other.package"]})
    plan = plan_of(SLIM, PACK, other, both, inputs={"model": "m", "data": "d", "file": "f"})
    assert plan.step("select").inputs["packages"] == ("pack.package", "inputs.file", "other.package")
    assert input_kinds(plan, CATALOGUE)["file"] == {Kind.PACKAGE}
    assert "packages = [pack.package, inputs.file, other.package]" in render_plan(plan, CATALOGUE)


@pytest.mark.parametrize(
    ("packages", "path", "message"),
    [
        ([], "", "is an empty list"),
        (["pack.package", "int8.model"], "", "'int8.model' is a model, evaluator/select takes a package"),
        (["pack.package", "pck.package"], "[1]", "there is no step 'pck'"),
        (["pack.package", 3], "[1]", "is no reference"),
    ],
)
def test_lists_that_do_not_fit(packages: object, path: str, message: str) -> None:
    select = step("select", "evaluator/select", inputs={"packages": packages})
    fault = faults_of(pipeline(INT8, PACK, select))[f"steps[2].inputs.packages{path}"]
    assert message in fault.message


def test_a_list_for_a_port_that_takes_one() -> None:
    fault = faults_of(pipeline(SLIM, INT8 | {"inputs": {"model": ["slim.model"]}}))["steps[1].inputs.model"]
    assert fault.message == "is a list, quantizer/ptq-int8 takes one"


_NAMES = st.sampled_from(["a", "b", "c", "a-1", "b-2"])
_READS = st.sampled_from([{}, {"inputs": {"model": "inputs.model"}}])
_AXES = st.integers(0, 10**6).map("axis{}".format)


@st.composite
def _leaves(draw: st.DrawFn) -> dict[str, Any]:
    return step(draw(_NAMES), "pruner/l1-filter") | draw(_READS)


@st.composite
def _blocks(draw: st.DrawFn, inner: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    block: dict[str, Any] = {"id": draw(_NAMES), "steps": draw(st.lists(inner, min_size=1, max_size=3))}
    match draw(st.sampled_from(["once", "repeat", "matrix"])):
        case "repeat":
            block["repeat"] = {"times": 3}
        case "matrix":
            axis = draw(_AXES)
            block["matrix"] = {axis: [1, 2]}
            block["steps"] = [PRUNE | {"with": {"epochs": f"${{{axis}}}"}}, *block["steps"]]
    return block


_EXPECTED = ("is taken by", "unrolls to", "branches give a model")


def _planned(steps: list[dict[str, Any]]) -> Plan | str:
    try:
        return validate(pipeline(*steps), CATALOGUE)
    except SpecError as e:
        return str(e)


@given(st.lists(st.recursive(_leaves(), _blocks, max_leaves=6), min_size=1, max_size=3))
def test_unrolled_plans_have_ids_of_their_own_and_need_only_what_comes_before(steps: list[dict[str, Any]]) -> None:
    """Whatever unrolls without fault is a plan that can run in file order."""
    plan = _planned(steps)
    if isinstance(plan, str):
        assert any(word in plan for word in _EXPECTED)
        return
    seen: set[str] = set()
    for planned in plan.steps:
        assert planned.needs <= seen
        assert planned.id not in seen
        seen.add(planned.id)
