"""Runs and artifacts as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelpress.cli import output

if TYPE_CHECKING:
    from modelpress.artifacts.manifest import Manifest
    from modelpress.artifacts.refs import TaggedArtifact
    from modelpress.catalogue import Catalogue
    from modelpress.client.run import Run
    from modelpress.engine.state import RunState
    from modelpress.pipeline.foresee import Foresight
    from modelpress.pipeline.plan import Plan, PlannedStep, Source
    from modelpress.report.evidence import Candidate

STYLES = {"succeeded": "green", "failed": "bold red", "refused": "yellow", "cancelled": "yellow", "running": "cyan"}


def runs(states: Sequence[RunState]) -> None:
    """One line a run; its id tells when it was submitted (UTC)."""
    from rich.text import Text

    from modelpress.report import format as fmt

    rows = []
    for state in states:
        took = fmt.duration(state.ended_s - state.submitted_s) if state.ended_s else ""
        status = Text(str(state.status), style=STYLES.get(state.status, ""))
        rows.append([state.run_id, state.plan.name, status, took, _standing(state)])
    output.table(["run", "pipeline", "status", "took", "verdict"], rows, right=["took"], cut="verdict")


def _standing(state: RunState) -> str:
    from modelpress.report.evidence import verdict

    if state.status.final:
        return verdict(state)
    total = len(state.plan.steps)
    return f"{total - state.open_steps:,} of {total:,} steps"


def summary(state: RunState) -> dict[str, Any]:
    """A run in a line, as JSON."""
    from modelpress.report.evidence import verdict

    keys = {"run_id", "status", "submitted_s", "ended_s", "resumed_from", "priority", "open_steps", "outputs"}
    return {"name": state.plan.name, "verdict": verdict(state), **state.model_dump(mode="json", include=keys)}


def as_record(state: RunState) -> dict[str, Any]:
    """A run with everything that is known of it, as JSON."""
    from modelpress.report.evidence import verdict

    return {"name": state.plan.name, "verdict": verdict(state), **state.model_dump(mode="json")}


def steps(state: RunState) -> None:
    """The steps of a run as they stand."""
    import time

    from modelpress.client.display import steps_table
    from modelpress.client.timeline import lines

    now_s = time.time()
    output.show(steps_table(state, lines(state, {}, now_s), now_s, cut=False))


def result(run: Run) -> None:
    """What came out of a run: figures side by side, outputs, verdict."""
    state = run.state
    comparison(run.candidates())
    if state.outputs:
        output.table(["output", "kind", "digest"], [[n, ref.kind, ref.digest] for n, ref in run.outputs.items()])
    output.say(run.verdict, f"bold {STYLES.get(state.status, '')}".strip())


def comparison(candidates: Sequence[Candidate]) -> None:
    """Accuracy, size, latencies and parameters of every measured candidate, with the change from the original."""
    from modelpress.report.figures import rows

    table = rows(candidates)
    if table:
        head = ["", *(c.label for c in candidates)]
        cells = [
            [row.name, *(" ".join(filter(None, (f.value, f.change and f"({f.change})"))) for f in row.figures)]
            for row in table
        ]
        output.table(head, cells, right=head[1:])


def artifacts(found: Sequence[TaggedArtifact]) -> None:
    """One line a name."""
    from modelpress.report import format as fmt

    rows = [
        [a.name, a.manifest.kind, fmt.size(_size(a.manifest)), about(a.manifest), fmt.short(a.digest)] for a in found
    ]
    output.table(["name", "kind", "size", "about", "digest"], rows, right=["size"])


def about(manifest: Manifest) -> str:
    """The most telling facts of an artifact in a few words."""
    from modelpress.report import format as fmt

    config = manifest.config
    if manifest.kind == "model":
        return f"{config.get('form', '')}, {fmt.count(config.get('parameters'))} parameters"
    if manifest.kind == "package":
        return f"{config.get('format', '')}, {config.get('form', '')}"
    if manifest.kind == "dataset":
        description = config.get("description", {})
        shape = "×".join(map(str, description.get("input", {}).get("shape", [])))
        return f"{description.get('task', '')}, {len(description.get('class_names', []))} classes, {shape}"
    return ""


def _size(manifest: Manifest) -> int:
    return sum(layer.size_bytes for layer in manifest.layers)


def plan(plan: Plan, catalogue: Catalogue, foreseen: Mapping[str, Foresight]) -> None:
    """One line a step: what it costs, whether the cache has it, what it reads (``*``: by default), what guards it."""
    heads = ("step", "method", "cost", "cache", "reads, guards")
    rows = [
        [step.id, step.uses, catalogue[step.uses].cost, foreseen.get(step.id, ""), _reads_and_guards(step)]
        for step in plan.steps
    ]
    kept = [index for index in range(len(heads)) if any(row[index] for row in rows)]
    output.table([heads[i] for i in kept], [[row[i] for i in kept] for row in rows], fold=heads[-1])
    if any(step.resolved for step in plan.steps):
        output.say("* not in the pipeline: filled by default", "dim")


def _reads_and_guards(step: PlannedStep) -> str:
    marked = ((port, "*" if port in step.resolved else "", source) for port, source in step.inputs.items())
    reads = ", ".join(f"{port} = {_source(source)}{mark}" for port, mark, source in marked)
    guards = (("when", step.when), ("gate", step.gate))
    told = [f"{word} {name} {limit}" for word, named in guards for name, limit in named.items()]
    return "; ".join([*([reads] if reads else []), *told])


def _source(source: Source) -> str:
    return source if isinstance(source, str) else f"[{', '.join(source)}]"
