"""A plan as text and as a drawing."""

from __future__ import annotations

from modelpress.pipeline.render import edges, levels, mermaid, render_plan
from modelpress.pipeline.spec import parse_pipeline
from modelpress.pipeline.validate import validate
from tests.unit.pipeline.fakes import CATALOGUE, EXAMPLE, PACK, SLIM, pipeline, plan_of, step

PLAN = validate(parse_pipeline(EXAMPLE), CATALOGUE)
DENSE = step("dense", "quantizer/package", inputs={"model": "inputs.model"})
SPEED = step("speed", "hardware-profiler/latency", inputs={"package": "pack.package", "reference": "dense.package"})


def test_text() -> None:
    text = render_plan(plan_of(SLIM | {"with": {"sparsity": 0.6}, "gate": {"top1": ">90"}}, PACK), CATALOGUE)
    assert text == "\n".join(
        [
            "test, seed 0",
            "    inputs  model = m, data = d",
            "",
            " 1  slim  pruner/network-slimming v1",
            "    reads   model = inputs.model*, data = inputs.data*",
            "    with    sparsity 0.6, epochs 3*",
            "    gives   model (dense model)",
            "    gate    top1 > 90",
            "    needs   training",
            "",
            " 2  pack  quantizer/package v1",
            "    reads   model = slim.model*, data = inputs.data*",
            "    with    format onnx*",
            "    gives   package (package)",
            "",
            "* not in the pipeline: filled by default",
        ]
    )


def test_text_of_an_input_to_be_given_and_of_a_measurement() -> None:
    raw = pipeline(PACK, DENSE, SPEED, inputs={"model": None, "data": "d"}, outputs={"file": "pack.package"})
    text = render_plan(validate(raw, CATALOGUE, require_inputs=False), CATALOGUE)
    assert "model = to be given" in text
    assert "needs   the machine to itself" in text
    assert "outputs file = pack.package" in text


def test_levels_of_a_chain() -> None:
    assert levels(PLAN) == (("slim",), ("recover",), ("int8",), ("pack",), ("check",))


def test_levels_of_branches() -> None:
    assert levels(plan_of(SLIM, PACK, DENSE, SPEED)) == (("slim", "dense"), ("pack",), ("speed",))


def test_edges() -> None:
    found = edges(plan_of(SLIM, PACK, DENSE, SPEED))
    assert ("slim", "pack", "model") in found
    assert ("inputs.model", "dense", "model") in found
    assert ("dense", "speed", "reference") in found
    assert len(found) == 2 + 2 + 2 + 2


def test_mermaid_draws_every_node_and_edge_once() -> None:
    lines = mermaid(PLAN).splitlines()
    assert lines[0] == "flowchart TD"
    assert '  n0["slim<br/>pruner/network-slimming"]' in lines
    assert '  n5(["model"])' in lines
    assert "  n0 -- student --> n1" in lines
    assert len(lines) == 1 + 5 + 2 + len(edges(PLAN))
    assert len(set(lines)) == len(lines)
