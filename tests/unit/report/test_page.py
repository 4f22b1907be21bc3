"""The page is whole, self-contained, and shows everything that is needed to repeat the run."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from modelpress.artifacts.memory import MemoryStore
from modelpress.catalogue import load_catalogue
from modelpress.engine.state import RunStatus, StepState
from modelpress.pipeline.spec import parse_pipeline
from modelpress.pipeline.validate import validate
from modelpress.report.facts import gather
from modelpress.report.page import render
from modelpress.report.repeat import commands, pipeline_yaml
from modelpress.report.scatter import Point, scatter
from tests.unit.report.samples import PIPELINE, facts, plan, run_state

VOID = {"meta", "br", "hr", "img", "col"}


class Tree(HTMLParser):
    """Notes elements that end out of order, and what would be fetched from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.faults += [f"{tag} fetches {value}" for name, value in attrs if name == "src" or "http" in (value or "")]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> out of order")


def parsed(page: str) -> Tree:
    tree = Tree()
    tree.feed(page)
    return tree


def test_the_page_is_well_formed_and_fetches_nothing() -> None:
    tree = parsed(render(facts()))
    assert tree.faults == []
    assert tree.open == []
    assert not {"script", "link", "img", "iframe"} & set(tree.tags)
    assert tree.tags.count("svg") == 4, "the pipeline, and accuracy against size and two latencies"


def test_every_digest_key_parameter_seed_and_version_is_there() -> None:
    found = facts()
    page = render(found)
    run = found.run
    for digest in [*run.inputs.values(), *run.outputs.values()]:
        assert digest in page
    for step in run.plan.steps:
        state = run.steps[step.id]
        assert all(d in page for d in [*state.outputs.values(), state.key])
        assert all(f"<code>{value!r}</code>".replace("'", "&#x27;") in page for value in step.params.values())
    assert "2.14.1" in page
    assert f"--seed {run.plan.seed}" in page


def test_baselines_stand_beside_the_result() -> None:
    page = render(facts())
    assert "plain ptq-int8" in page
    assert "201 KB" in page


def test_layers_show_shapes_and_bits() -> None:
    page = render(facts())
    assert "24×1×3×3" in page
    assert "12×1×3×3" in page
    assert "32 → 8" in page
    assert "folded or removed" in page


@pytest.mark.parametrize("place", ["name", "input", "error", "provenance"])
def test_what_others_wrote_is_escaped(place: str) -> None:
    nasty = "<img src=x onerror=alert(1)>"
    changes: dict[str, Any] = {}
    pipeline = plan()
    if place == "name":
        pipeline = pipeline.model_copy(update={"name": nasty})
    if place == "input":
        pipeline = pipeline.model_copy(update={"inputs": {"model": nasty, "data": nasty}})
    if place == "provenance":
        changes["provenance"] = {"machine": {nasty: nasty}}
    run = run_state(pipeline, **changes)
    if place == "error":
        failed = {n: s.model_copy(update={"error": nasty, "status": "failed"}) for n, s in run.steps.items()}
        run = run.model_copy(update={"steps": failed, "status": RunStatus.FAILED})
    page = render(gather(run, MemoryStore(), load_catalogue()))
    assert "<img" not in page
    assert "&lt;img src=x" in page


def test_a_run_that_never_started_has_a_page() -> None:
    run = run_state(status=RunStatus.SUBMITTED, steps={}, outputs={}, ended_s=0.0)
    page = render(gather(run, MemoryStore(), load_catalogue()))
    assert parsed(page).faults == []
    assert "has not finished" in page


def test_a_method_that_is_no_longer_installed_is_shown_all_the_same() -> None:
    run = run_state()
    other = run.plan.steps[0].model_copy(update={"uses": "pruner/of-yesterday"})
    run = run.model_copy(update={"plan": run.plan.model_copy(update={"steps": (other, *run.plan.steps[1:])})})
    assert "pruner/of-yesterday" in render(gather(run, MemoryStore(), load_catalogue()))


def test_the_pipeline_file_makes_the_same_plan_again() -> None:
    original = plan(seed=7)
    again = validate(parse_pipeline(pipeline_yaml(original)), load_catalogue())
    loose = {"resolved", "given"}
    assert again.model_dump(exclude={"steps"}) == original.model_dump(exclude={"steps"})
    assert [s.model_dump(exclude=loose) for s in again.steps] == [s.model_dump(exclude=loose) for s in original.steps]


def test_the_command_names_file_seed_and_digests() -> None:
    run = run_state()
    text = commands(run, "0.1.0")
    assert "modelpress 0.1.0: in a checkout" in text
    assert f"--model {run.inputs['model']}" in text
    assert f"--data {run.inputs['data']}" in text


def test_labels_of_a_plot_do_not_cover_each_other() -> None:
    points = [
        Point("original", "original", 9.3, 92.6),
        Point("plain", "baseline", 8.9, 92.6),
        Point("x", "result", 8.8, 92.5),
    ]
    plot = scatter("Latency", points, lambda v: f"{v:g} ms")
    tops = [float(y) for y in re.findall(r'y="([\d.]+)" class="name"', plot)]
    rights = re.findall(r'<text x="([\d.]+)" y="[\d.]+" class="name" text-anchor="(\w+)"', plot)
    assert len({(round(y / 10), x, anchor) for y, (x, anchor) in zip(tops, rights, strict=True)}) == 3


def test_a_gate_below_zero_is_not_drawn() -> None:
    steps = [{**s, "gate": {"top1_drop_points": "<= 100"}} if s["id"] == "check" else s for s in PIPELINE["steps"]]
    page = render(gather(run_state(plan(steps=steps)), MemoryStore(), load_catalogue()))
    assert 'class="floor"' not in page
    assert 'class="floor"' in render(gather(run_state(), MemoryStore(), load_catalogue()))


def test_steps_without_state_are_drawn_as_waiting() -> None:
    run = run_state(steps={"slim": StepState(id="slim")}, status=RunStatus.RUNNING)
    assert "side waiting" in render(gather(run, MemoryStore(), load_catalogue()))
