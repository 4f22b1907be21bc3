"""The report as one HTML file: no script, no font, no image from elsewhere; light and dark; readable on a phone."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from modelpress import __version__
from modelpress.engine.state import RunState, StepState
from modelpress.pipeline.plan import PlannedStep
from modelpress.report import dag, sections
from modelpress.report import format as fmt
from modelpress.report.document import document, facts_table, section
from modelpress.report.evidence import verdict
from modelpress.report.facts import Facts
from modelpress.report.markup import Markup, el, join
from modelpress.report.repeat import commands, pipeline_yaml


def render(facts: Facts) -> str:
    """The whole page."""
    run = facts.run
    return document(run.plan.name, _header(run), sections.tiles(facts), *_body(facts), _footer())


def _header(run: RunState) -> Markup:
    when = fmt.moment(run.submitted_s)
    took = f", {fmt.duration(run.ended_s - run.submitted_s)}" if run.ended_s else ""
    return el(
        "header",
        el("p", f"modelpress report · run {run.run_id} · {when}{took}", class_="kicker"),
        el("h1", run.plan.name),
        el("p", verdict(run), class_=f"verdict {run.status}"),
    )


def _body(facts: Facts) -> list[Markup]:
    headlines = {step.id: headline(facts, step) for step in facts.run.plan.steps}
    inputs = {name: facts.input_name(name) for name in facts.run.plan.inputs}
    parts = [
        ("Before and after", _SIDE_BY_SIDE, sections.comparison(facts)),
        ("The pipeline", _data_note(facts), el("div", dag.draw(facts.run, headlines, inputs), class_="card")),
        ("Accuracy against cost", "Up and to the left is better; costs on a logarithmic axis.", sections.plots(facts)),
        ("Training", "Steps that were found in the cache have no curve.", sections.training(facts)),
        ("Layer by layer", _LAYERS, sections.layer_table(facts)),
        ("Steps", "", el("div", *(_step(facts, step) for step in facts.run.plan.steps), class_="card")),
        ("Repeat it", "", _repeat(facts)),
    ]
    return [section(title, note, content) for title, note, content in parts if content is not None]


_SIDE_BY_SIDE = (
    "Files as written and read back; a latency is the median of a call, both sides measured in turn on one machine. "
    "Changes are against the original."
)
_LAYERS = "Weights as stored in the model; biases and scales are not counted in the bytes."


def _data_note(facts: Facts) -> str:
    """Which steps read the datasets, which the picture leaves out."""
    plan = facts.run.plan
    drawn = dag.graph(plan)
    readers = {
        name: ", ".join(step.id for step in plan.steps if f"inputs.{name}" in step.sources())
        for name in plan.inputs
        if f"inputs.{name}" not in drawn
    }
    return " ".join(f"{name} ({_shortened(facts.input_name(name))}) is read by {ids}." for name, ids in readers.items())


def _shortened(reference: str) -> str:
    return fmt.short(reference) if reference.startswith("sha256:") else reference


def headline(facts: Facts, step: PlannedStep) -> list[str]:
    """Two short lines for the picture."""
    state = facts.run.steps.get(step.id) or StepState(id=step.id)
    return [
        f"{name.replace('_', ' ')} {fmt.metric(name, state.metrics[name], facts.meaning(step.uses, name))}"
        for name in fmt.telling(state.metrics, 2)
    ]


def _step(facts: Facts, step: PlannedStep) -> Markup:
    state = facts.run.steps.get(step.id) or StepState(id=step.id)
    took = "from cache" if state.cached else fmt.duration(state.ended_s - state.started_s) if state.ended_s else ""
    info = facts.methods.get(step.uses)
    summary = el(
        "summary",
        el("h3", step.id),
        el("code", step.uses),
        el("span", info.summary if info else "", class_="grow"),
        el("span", took, class_="muted"),
        el("span", str(state.status), class_=f"pill {state.status}"),
    )
    blocks = [_metrics(facts, step, state), _parameters(step), _provenance(facts, step, state)]
    paper = el("p", f"Paper: {info.paper}", class_="note") if info and info.paper else None
    error = el("pre", state.error) if state.error else None
    return el("details", summary, error, paper, el("div", *blocks, class_="two"), id=f"step-{step.id}")


def _metrics(facts: Facts, step: PlannedStep, state: StepState) -> Markup | None:
    def cell(name: str) -> Markup:
        value = fmt.metric(name, state.metrics[name], facts.meaning(step.uses, name))
        gate = step.gate.get(name)
        passed = state.gates.get(name)
        pill = el("span", f"gate {gate}", class_=f"pill {'yes' if passed else 'no'}") if gate else None
        about = facts.meaning(step.uses, name)
        return join(value, pill, el("span", about, class_="delta") if about else None, separator=" ")

    return facts_table("Metrics", [[el("th", name), cell(name)] for name in state.metrics])


def _parameters(step: PlannedStep) -> Markup | None:
    rows: list[list[object]] = [[el("th", name), el("code", repr(value))] for name, value in step.params.items()]
    return facts_table("Parameters", rows)


def _provenance(facts: Facts, step: PlannedStep, state: StepState) -> Markup | None:
    rows: list[list[object]] = [
        [el("th", f"{port} ←"), join(source, el("code", _digest(facts.run, source), class_="delta"), separator=" ")]
        for port, source in step.reads()
    ]
    rows += [[el("th", f"{port} →"), el("code", digest)] for port, digest in state.outputs.items()]
    rows += [[el("th", "method version"), step.version], [el("th", "attempt"), state.attempt]]
    rows += [[el("th", "key"), el("code", state.key)]] if state.key else []
    rows += [[el("th", "started"), fmt.moment(state.started_s)], [el("th", "ended"), fmt.moment(state.ended_s)]]
    return facts_table("Inputs and outputs", rows)


def _digest(run: RunState, source: str) -> str:
    node, _, output = source.partition(".")
    if node == "inputs":
        return run.inputs.get(output, "")
    return run.steps[node].outputs.get(output, "") if node in run.steps else ""


def _repeat(facts: Facts) -> Markup:
    run = facts.run
    name, yaml_text = f"{run.plan.name}.yaml", pipeline_yaml(run.plan)
    digests: list[list[object]] = [
        [el("th", f"input {name}"), join(facts.input_name(name), el("code", d, class_="delta"), separator=" ")]
        for name, d in run.inputs.items()
    ]
    digests += [[el("th", f"output {name}"), el("code", digest)] for name, digest in run.outputs.items()]
    digests += [[el("th", "seed"), run.plan.seed]]
    surroundings: list[list[object]] = [[el("th", name), value] for name, value in flat(run.provenance)]
    return el(
        "div",
        el("pre", commands(run, _version(run))),
        el("details", el("summary", el("h3", name), el("span", _download(name, yaml_text))), el("pre", yaml_text)),
        el("div", facts_table("Artifacts", digests), facts_table("Made with", surroundings), class_="two"),
        _missing(facts),
        class_="card",
    )


def _download(name: str, content: str) -> Markup:
    """A link that saves ``content``, which it carries itself."""
    data = base64.b64encode(content.encode()).decode()
    return el("a", "save", href=f"data:application/yaml;base64,{data}", download=name)


def _version(run: RunState) -> str:
    versions = run.provenance.get("versions")
    return str(versions.get("modelpress", __version__)) if isinstance(versions, dict) else __version__


def flat(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """A nested mapping as rows: ``versions torch``, ``2.14.1``."""
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", str(value)


def _missing(facts: Facts) -> Markup | None:
    if not facts.missing:
        return None
    return el(
        "p",
        "No longer in the store when this page was made: ",
        join(*(el("code", d) for d in facts.missing), separator=", "),
    )


def _footer() -> Markup:
    note = "Equal code, versions, threads, instruction set and device give equal digests; latencies vary."
    return el("footer", f"Made by modelpress {__version__}. {note}")
