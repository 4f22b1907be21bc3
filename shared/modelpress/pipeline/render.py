"""A plan to look at before it runs: text for a terminal, levels and Mermaid for a drawing of the DAG."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from modelpress.catalogue import Catalogue, Cost, MethodInfo
from modelpress.pipeline.plan import Plan, PlannedStep, Source
from modelpress.pipeline.reader import INPUTS

_LABEL_WIDTH = 7
_MARK = "*"


def render_plan(plan: Plan, catalogue: Catalogue) -> str:
    """The steps in order: what each reads, its parameters, gate and needs; ``*`` marks what defaults filled."""
    head = [f"{plan.name}, seed {plan.seed}", *_line("inputs", _pairs(plan.inputs))]
    steps = [line for number, step in enumerate(plan.steps, 1) for line in _render_step(number, step, catalogue)]
    foot = [*_line("outputs", _pairs(plan.outputs)), f"{_MARK} not in the pipeline: filled by default"]
    return "\n".join([*head, "", *steps, *foot])


def levels(plan: Plan) -> tuple[tuple[str, ...], ...]:
    """Ids of steps by depth: a step stands one level below the deepest step that it reads."""
    depth: dict[str, int] = {}
    for step in plan.steps:
        depth[step.id] = 1 + max((depth[need] for need in step.needs), default=-1)
    rows = range(max(depth.values(), default=-1) + 1)
    return tuple(tuple(step.id for step in plan.steps if depth[step.id] == row) for row in rows)


def edges(plan: Plan) -> tuple[tuple[str, str, str], ...]:
    """``(source, step, port)`` for each input of each step; a source is ``inputs.<name>`` or the id of a step."""
    return tuple(
        (_node(source), step.id, port)
        for step in plan.steps
        for port, sources in step.inputs.items()
        for source in _each(sources)
    )


def mermaid(plan: Plan) -> str:
    """The DAG as a Mermaid flowchart, for Markdown."""
    shapes = {step.id: f'["{step.id}<br/>{step.uses}"]' for step in plan.steps}
    shapes |= {f"{INPUTS}.{name}": f'(["{name}"])' for name in plan.inputs}
    numbers = {node: f"n{number}" for number, node in enumerate(shapes)}
    nodes = [f"  {numbers[node]}{shape}" for node, shape in shapes.items()]
    arrows = [f"  {numbers[source]} -- {port} --> {numbers[step]}" for source, step, port in edges(plan)]
    return "\n".join(["flowchart TD", *nodes, *arrows])


def _each(source: Source) -> tuple[str, ...]:
    return (source,) if isinstance(source, str) else source


def _node(source: str) -> str:
    head = source.partition(".")[0]
    return source if head == INPUTS else head


def _render_step(number: int, step: PlannedStep, catalogue: Catalogue) -> Iterator[str]:
    info = catalogue[step.uses]
    yield f"{number:2}  {step.id}  {step.uses} v{step.version}"
    reads = [_marked(f"{port} = {_read(source)}", port in step.resolved) for port, source in step.inputs.items()]
    yield from _line("reads", reads)
    yield from _line("with", [_marked(f"{k} {_value(v)}", k not in step.given) for k, v in step.params.items()])
    yield from _line("gives", [f"{name} ({_kind(info, name)})" for name in step.outputs])
    yield from _line("gate", [f"{metric} {condition}" for metric, condition in step.gate.items()])
    yield from _line("when", [f"{metric} {condition}" for metric, condition in step.when.items()])
    yield from _line("needs", _needs(info, step))
    yield ""


def _read(source: Source) -> str:
    return source if isinstance(source, str) else f"[{', '.join(source)}]"


def _line(label: str, entries: list[str]) -> list[str]:
    return [f"    {label:<{_LABEL_WIDTH}} {', '.join(entries)}"] if entries else []


def _pairs(named: Mapping[str, str]) -> list[str]:
    return [f"{name} = {reference or 'to be given'}" for name, reference in named.items()]


def _marked(text: str, default: bool) -> str:
    return text + _MARK if default else text


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _kind(info: MethodInfo, output: str) -> str:
    kind = info.outputs[output]
    return f"{' or '.join(sorted(info.produces))} {kind}" if kind == "model" else str(kind)


def _needs(info: MethodInfo, step: PlannedStep) -> list[str]:
    """What the step will cost, as far as its description says, and what it asks for."""
    training = ["training"] if info.cost is Cost.TRAINING else []
    alone = ["the machine to itself"] if step.alone else []
    return [*training, *alone, *sorted(info.needs), *_requests(step)]


def _requests(step: PlannedStep) -> Iterator[str]:
    if step.worker_class:
        yield f"class {step.worker_class}"
    if step.threads is not None:
        yield f"{step.threads} cores"
    if step.memory_mb is not None:
        yield f"{step.memory_mb:,} MB"
    if step.timeout_s is not None:
        yield f"at most {step.timeout_s:g} s"
