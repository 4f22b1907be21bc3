"""docs/pipelines.md says what is so: its pipelines are planned, and its faults are those that are told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from modelpress.catalogue import load_catalogue
from modelpress.errors import SpecError
from modelpress.pipeline.document import parse_document
from modelpress.pipeline.plan import Plan
from modelpress.pipeline.schema import pipeline_schema
from modelpress.pipeline.spec import parse_pipeline
from modelpress.pipeline.validate import validate

PAGE = (Path(__file__).parents[3] / "docs" / "pipelines.md").read_text(encoding="utf-8")
CATALOGUE = load_catalogue()
ROUNDS, SWEEP, TWICE = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)

FAULTY = """\
apiVersion: modelpress/v1
kind: Pipeline
metadata: {name: prune}
inputs: {model: m, data: d}
steps:
  - id: tries
    uses: pruner/l1-filter
    with: {sparsty: 0.5, multiple: "${multiple}"}
    matrix: {multiple: [4, 8]}
  - {id: pack, uses: quantizer/package,
    inputs: {model: tries.model}}
"""


def plan(text: str) -> Plan:
    return validate(parse_pipeline(text), CATALOGUE, require_inputs=False)


def test_rounds() -> None:
    steps = plan(ROUNDS)
    assert len(steps.steps) == 4 * 4 + 2
    assert steps.step("rounds-2-prune").inputs["model"] == "rounds-1-train.model"
    assert steps.step("choose").inputs["packages"] == tuple(f"rounds-{n}-pack.package" for n in (1, 2, 3, 4))
    assert steps.step("check").inputs["package"] == "choose.package"


def test_a_sweep() -> None:
    steps = plan(SWEEP)
    assert steps.outputs == {"package": "choose.package", "mildest": "sweep-1-pack.package"}
    assert steps.step("sweep-3-speed").when == {"sweep-3-check.top1_drop_points": "<= 2"}
    assert steps.step("sweep-3-speed").inputs["package"] == "sweep-3-pack.package"


def test_another_pipeline() -> None:
    steps = plan(TWICE)
    assert steps.step("first-slim").params["sparsity"] == 0.3
    assert steps.step("speed").inputs["package"] == steps.outputs["package"] == "first-pack.package"


@pytest.mark.parametrize("text", [ROUNDS, SWEEP, TWICE])
def test_editors_accept_them(text: str) -> None:
    assert list(Draft202012Validator(pipeline_schema(CATALOGUE)).iter_errors(parse_document(text).data)) == []


def test_the_faults_are_those_that_are_told() -> None:
    with pytest.raises(SpecError) as caught:
        validate(parse_pipeline(FAULTY, "prune.yaml"), CATALOGUE)
    assert f"```text\n{caught.value}\n```" in PAGE
