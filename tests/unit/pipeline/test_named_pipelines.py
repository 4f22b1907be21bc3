"""Pipelines by reference: what they read, what they give, and whose faults are whose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelpress.errors import SpecError, Violation
from modelpress.pipeline.library import Library
from modelpress.pipeline.plan import Plan
from modelpress.pipeline.spec import read_pipeline, spec_of
from modelpress.pipeline.validate import validate
from modelpress.recipes import list_recipes
from tests.unit.pipeline.fakes import CATALOGUE, EXAMPLE, faults_of, pipeline, step

HEAD = """\
apiVersion: modelpress/v1
kind: Pipeline
metadata: {name: test}
"""
HALF = f"""{HEAD}
parameters:
  share: {{default: 0.5}}
  epochs: {{}}
inputs: {{model: null, data: null}}
steps:
  - id: prune
    uses: pruner/l1-filter
    with: {{sparsity: "${{share}}", epochs: "${{epochs}}"}}
  - id: train
    uses: distiller/kd
  - id: pack
    uses: quantizer/package
outputs: {{model: train.model, package: pack.package}}
"""


def planned(folder: Path, steps: str, top: str = "inputs: {model: m, data: d}", **files: str) -> Plan:
    for name, text in {"half": HALF, **files}.items():
        (folder / f"{name}.yaml").write_text(text)
    main = folder / "main.yaml"
    main.write_text(f"{HEAD}{top}\nsteps:\n{steps}")
    return validate(read_pipeline(main), CATALOGUE)


def faults(folder: Path, steps: str, **more: Any) -> list[Violation]:
    with pytest.raises(SpecError) as caught:
        planned(folder, steps, **more)
    return list(caught.value.violations)


def entry(id: str = "first", name: str = "./half.yaml", **more: object) -> str:
    with_ = more.pop("with", "{epochs: 2}")
    rest = "".join(f"    {key}: {value}\n" for key, value in more.items())
    return f"  - id: {id}\n    pipeline: {name}\n    with: {with_}\n{rest}"


SLIM = "  - {id: slim, uses: pruner/network-slimming}\n"


class TestSteps:
    def test_inputs_are_filled_like_those_of_a_step(self, tmp_path: Path) -> None:
        plan = planned(tmp_path, SLIM + entry() + "  - {id: int8, uses: quantizer/ptq-int8}\n")
        assert [s.id for s in plan.steps] == ["slim", "first-prune", "first-train", "first-pack", "int8"]
        assert plan.step("first-prune").inputs == {"model": "slim.model", "data": "inputs.data"}
        assert plan.step("first-train").inputs["teacher"] == "slim.model"
        assert plan.step("first-prune").params == {"sparsity": 0.5, "epochs": 2}
        assert plan.step("int8").inputs["model"] == "first-train.model"
        assert plan.inputs == {"model": "m", "data": "d"}

    def test_inputs_and_outputs_by_name(self, tmp_path: Path) -> None:
        pack = "  - {id: pack, uses: quantizer/package, inputs: {model: first.model}}\n"
        plan = planned(tmp_path, SLIM + entry(inputs="{model: inputs.model}") + pack + "outputs: {p: first.package}\n")
        assert plan.step("first-prune").inputs["model"] == "inputs.model"
        assert plan.step("pack").inputs["model"] == "first-train.model"
        assert plan.outputs == {"p": "first-pack.package"}

    def test_steps_inside_can_be_named_for_their_metrics(self, tmp_path: Path) -> None:
        half = HALF.replace("outputs:", "  - {id: check, uses: evaluator/classification}\noutputs:")
        after = "  - {id: more, uses: distiller/kd, when: {first.check.top1: '> 80'}}\n"
        plan = planned(tmp_path, entry() + after, half=half)
        assert plan.step("more").when == {"first-check.top1": "> 80"}

    def test_it_may_be_repeated_and_swept(self, tmp_path: Path) -> None:
        plan = planned(tmp_path, entry(repeat="{times: 2}", **{"with": '{epochs: "${round}"}'}))
        assert plan.step("first-2-prune").inputs["model"] == "first-1-train.model"
        assert plan.step("first-2-prune").params["epochs"] == 2
        select = "  - {id: select, uses: evaluator/select, inputs: {packages: first.package}}\n"
        swept = entry(matrix="{s: [0.2, 0.4]}", **{"with": '{epochs: 1, share: "${s}"}'})
        plan = planned(tmp_path, swept + select)
        assert plan.step("select").inputs["packages"] == ("first-1-pack.package", "first-2-pack.package")
        assert plan.step("first-2-prune").params["sparsity"] == 0.4

    def test_one_that_gives_no_model_is_a_side_branch(self, tmp_path: Path) -> None:
        half = HALF.replace("model: train.model, ", "")
        plan = planned(tmp_path, SLIM + entry() + "  - {id: int8, uses: quantizer/ptq-int8}\n", half=half)
        assert plan.step("int8").inputs["model"] == "slim.model"

    def test_one_inside_another_in_a_folder_of_its_own(self, tmp_path: Path) -> None:
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / "a.yaml").write_text(HALF)
        outer = f"{HEAD}inputs: {{model: null, data: null}}\nsteps:\n{entry('b', './deep/a.yaml')}"
        plan = planned(tmp_path, entry("c", "outer.yaml", **{"with": "{}"}), outer=outer)
        assert [s.id for s in plan.steps] == ["c-b-prune", "c-b-train", "c-b-pack"]

    def test_a_reference_of_its_own_becomes_an_input_of_the_plan(self, tmp_path: Path) -> None:
        half = HALF.replace("data: null", "data: fashion-mnist")
        plan = planned(tmp_path, entry(), half=half)
        assert plan.inputs == {"model": "m", "data": "d", "first-data": "fashion-mnist"}
        assert plan.step("first-train").inputs["data"] == "inputs.first-data"
        plan = planned(tmp_path, entry(inputs="{data: inputs.data}"), half=half)
        assert plan.step("first-train").inputs["data"] == "inputs.data"

    def test_a_recipe_by_name(self) -> None:
        """These fakes have an int8 that takes no parameter: the recipe's own line is what is wrong."""
        found = faults_of(pipeline({"id": "first", "pipeline": "int8", "with": {"max_drop_points": 2}}))
        assert [(fault.source, fault.path) for fault in found.values()] == [("recipe int8", "steps[0].with.observer")]


class TestFaults:
    def test_those_inside_name_their_file_line_and_column(self, tmp_path: Path) -> None:
        half = HALF.replace("distiller/kd", "distiller/dk").replace("sparsity:", "sparsty:")
        found = faults(tmp_path, entry(id="x", gate="{}"), half=half)
        path = str(tmp_path / "half.yaml")
        assert [(f.source, f.path, f.line, f.column) for f in found] == [
            ("", "steps[0].gate", 9, 5),
            (path, "steps[0].with.sparsty", 12, 12),
            (path, "steps[1].uses", 14, 5),
        ]
        assert str(found[1]).startswith(f"{path}: steps[0].with.sparsty (line 12, column 12): there is no parameter")

    def test_those_inside_are_told_once(self, tmp_path: Path) -> None:
        half = HALF.replace("distiller/kd", "distiller/dk")
        swept = entry(matrix="{s: [0.2, 0.4]}", **{"with": '{epochs: 1, share: "${s}"}'})
        assert len(faults(tmp_path, swept + entry("second"), half=half)) == 1

    @pytest.mark.parametrize(
        ("text", "path", "message", "suggestion"),
        [
            (entry(**{"with": "{}"}), "with.epochs", "has no default and was not set", "write 'epochs: VALUE' here"),
            (entry(**{"with": "{epochs: 1, shar: 1}"}), "with.shar", "there is no parameter", "did you mean 'share'?"),
            (entry(inputs="{modle: inputs.model}"), "inputs.modle", "has no input 'modle'", "did you mean 'model'?"),
            (entry(inputs="{model: inputs.modl}"), "inputs.model", "no input 'modl'", "did you mean 'model'?"),
            (
                entry(inputs="{model: inputs.data}"),
                "inputs.model",
                "is a dataset, input 'model' is a model",
                "there is",
            ),
            (entry(name="./hal.yaml"), "pipeline", "there is no file", "./file.yaml"),
            (entry(name="slim-distil-int8"), "pipeline", "did you mean 'slim-distill-int8'", "a recipe"),
            (entry(name="[1]"), "pipeline", "must be text", ""),
            (entry(name='"${x}"'), "pipeline", "there is no parameter 'x'", ""),
        ],
    )
    def test_of_the_entry(self, tmp_path: Path, text: str, path: str, message: str, suggestion: str) -> None:
        (found,) = faults(tmp_path, text + SLIM)
        assert found.path == f"steps[0].{path}"
        assert message in found.message
        assert suggestion in found.suggestion
        assert found.source == ""

    def test_an_input_that_nothing_gives(self, tmp_path: Path) -> None:
        (found,) = faults(tmp_path, entry(), top="inputs: {model: m}")
        assert (found.path, found.message) == (
            "steps[0].inputs.data",
            "is not given, and pipeline './half.yaml' reads it",
        )

    def test_a_form_that_its_steps_do_not_take(self, tmp_path: Path) -> None:
        (found,) = faults(tmp_path, "  - {id: int8, uses: quantizer/ptq-int8}\n" + entry())[:1]
        assert found.message == "'int8.model' is quantized, pruner/l1-filter takes dense"

    def test_a_file_that_is_no_yaml(self, tmp_path: Path) -> None:
        (found,) = faults(tmp_path, entry(), half="a: [1")
        assert found.path == "steps[0].pipeline"
        assert "line 1" in found.message

    def test_one_that_is_part_of_itself(self, tmp_path: Path) -> None:
        loop = f"{HEAD}inputs: {{model: null, data: null}}\nsteps:\n{entry('again', './half.yaml', **{'with': '{}'})}"
        (found,) = faults(tmp_path, entry(**{"with": "{}"}), half=loop)
        assert "would be part of itself" in found.message
        assert found.source == str(tmp_path / "half.yaml")

    def test_links_that_lead_in_a_circle(self, tmp_path: Path) -> None:
        (tmp_path / "one.yaml").symlink_to("two.yaml")
        (tmp_path / "two.yaml").symlink_to("one.yaml")
        (found,) = faults(tmp_path, entry("x", "./one.yaml"))
        assert found.path == "steps[0].pipeline"
        assert "one.yaml' leads nowhere" in found.message

    def test_a_chain_that_is_too_deep(self, tmp_path: Path) -> None:
        inputs = "inputs: {model: null, data: null}"
        files = {
            f"p{n}": f"{HEAD}{inputs}\nsteps:\n{entry('x', f'./p{n + 1}.yaml', **{'with': '{}'})}" for n in range(12)
        }
        (found,) = faults(tmp_path, entry("x", "./p0.yaml", **{"with": "{}"}), **files)
        assert found.message == "pipelines name each other more than 8 deep"

    def test_widths_that_multiply(self, tmp_path: Path) -> None:
        inputs = "inputs: {model: null, data: null}"
        ten = {
            f"p{n}": f"{HEAD}{inputs}\nsteps:\n"
            + "".join(entry(f"x{i}", f"./p{n + 1}.yaml", **{"with": "{}"}) for i in range(10))
            for n in range(6)
        }
        ten["p6"] = f"{HEAD}{inputs}\nsteps:\n  - {{id: a, uses: pruner/l1-filter, inputs: {{model: inputs.model}}}}\n"
        (found,) = faults(tmp_path, entry("x", "./p0.yaml", **{"with": "{}"}), **ten)
        assert "10,000" in found.message

    def test_what_is_no_file_names_no_file(self) -> None:
        raw = pipeline({"id": "first", "pipeline": "/etc/other.yaml"}, step("slim", "pruner/network-slimming"))
        assert "only a pipeline in a file" in faults_of(raw)["steps[0].pipeline"].message


def test_each_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(EXAMPLE)
    asker = read_pipeline(tmp_path / "p.yaml")
    library = Library()
    assert library.find("./p.yaml", asker) is library.find("p.yaml", asker)
    recipe = list_recipes()[0].name
    assert library.find(recipe, spec_of(pipeline())) is library.find(recipe, asker)
