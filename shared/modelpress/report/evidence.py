"""What a run shows: its packages side by side, and the sentence that comes first.

Steps are recognised by what they are (an evaluator or profiler with ``package`` and ``reference`` ports), not by how
the pipeline's author called them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from modelpress.engine.state import RunState, RunStatus, StepState, StepStatus
from modelpress.pipeline.plan import Plan, PlannedStep
from modelpress.report import format as fmt

MEASURING = frozenset({"evaluator", "hardware-profiler"})
REFERENCE = "reference_"
_LATENCY = re.compile(r"latency_ms_b(\d+)")


class Role(StrEnum):
    ORIGINAL = "original"
    BASELINE = "baseline"
    RESULT = "result"


@dataclass(frozen=True)
class Candidate:
    """One model or package that was measured. ``figures`` are by metric name; accuracies in percent."""

    source: str
    role: Role
    label: str
    digest: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)

    def get(self, name: str) -> float | None:
        return self.figures.get(name)

    @property
    def batches(self) -> list[int]:
        """Batch sizes whose latency was measured."""
        return sorted(int(m[1]) for name in self.figures if (m := _LATENCY.fullmatch(name)))


def candidates(run: RunState) -> list[Candidate]:
    """The original first, the pipeline's own result next to it, then the baselines."""
    figures = _figures(run)
    references = {step.source(port) for step, port in _subjects(run.plan) if port == "reference"}
    result = _result_source(run, figures, references)
    order = {Role.ORIGINAL: 0, Role.RESULT: 1, Role.BASELINE: 2}
    roles = {
        source: Role.RESULT if source == result else Role.ORIGINAL if source in references else Role.BASELINE
        for source in figures
    }
    labels = _labels(run.plan, roles)
    found = [
        Candidate(source, roles[source], labels[source], _digest(run, source), values)
        for source, values in figures.items()
    ]
    return sorted(found, key=lambda c: order[c.role])


def change(before: Candidate, after: Candidate, name: str, ratio: str) -> float | None:
    """How many times ``before`` is ``after``; a ratio that was measured in pairs (metric ``ratio``) is preferred."""
    measured = after.get(ratio)
    if measured is not None:
        return measured
    old, new = before.get(name), after.get(name)
    return old / new if old and new else None


def drop_points(before: Candidate, after: Candidate) -> float | None:
    """Percentage points of top-1 accuracy lost (negative: gained)."""
    measured = after.get("top1_drop_points")
    if measured is not None:
        return measured
    old, new = before.get("top1"), after.get("top1")
    return None if old is None or new is None else old - new


def verdict(run: RunState) -> str:
    """One or two sentences: what came out, or why nothing did."""
    if run.status is RunStatus.FAILED:
        return f"The run failed. {failure(run)}"
    if run.status is RunStatus.CANCELLED:
        return "The run was cancelled before it finished."
    if not run.status.final:
        return "The run has not finished."
    gains = ", ".join(_gains(candidates(run))) or "The pipeline finished"
    gates = [passed for step in run.steps.values() for passed in step.gates.values()]
    if run.status is RunStatus.REFUSED:
        return f"{gains}. Refused: {'; '.join(refusals(run))}."
    return f"{gains}." + (f" {_gates_passed(len(gates))}" if gates else "")


def failure(run: RunState) -> str:
    """The error of the first step that failed, else of the run."""
    failed = next((s for s in run.steps.values() if s.status is StepStatus.FAILED), None)
    return f"Step {failed.id}: {failed.error}" if failed else run.error


def refusals(run: RunState) -> Iterator[str]:
    """Each gate that refused, with what was measured."""
    for step in run.plan.steps:
        state = run.steps.get(step.id) or StepState(id=step.id)
        for name, passed in state.gates.items():
            if not passed:
                value = state.metrics.get(name)
                shown = "not measured" if value is None else fmt.plain(value)
                yield f"{step.id} wants {name} {step.gate.get(name, '')}, measured {shown}"


def _gates_passed(count: int) -> str:
    return "Its gate passed." if count == 1 else f"All {count} gates passed."


def _gains(found: list[Candidate]) -> Iterator[str]:
    original = next((c for c in found if c.role is Role.ORIGINAL), None)
    result = next((c for c in found if c.role is Role.RESULT), None)
    if original is None or result is None:
        return
    smaller = change(original, result, "size_bytes", "size_ratio")
    if smaller:
        yield fmt.times(smaller, "smaller")
    for batch in reversed(result.batches):
        faster = change(original, result, f"latency_ms_b{batch}", f"latency_ratio_b{batch}")
        if faster:
            yield f"{fmt.times(faster, 'faster')} at batch {batch}"
    drop = drop_points(original, result)
    if drop is not None:
        yield f"top-1 {fmt.percent(original.get('top1'))} → {fmt.percent(result.get('top1'))} ({fmt.points(drop)})"


def _subjects(plan: Plan) -> Iterator[tuple[PlannedStep, str]]:
    for step in plan.steps:
        if step.service in MEASURING:
            yield from ((step, port) for port in ("package", "model", "reference") if port in step.inputs)


def _figures(run: RunState) -> dict[str, dict[str, float]]:
    """Metrics by the source that they were measured on; ``reference_x`` of a step is ``x`` of its reference."""
    found: dict[str, dict[str, float]] = {}
    for step, port in _subjects(run.plan):
        metrics = (run.steps.get(step.id) or StepState(id=step.id)).metrics
        target = found.setdefault(step.source(port), {})
        if port == "reference":
            for name, value in metrics.items():
                if name.startswith(REFERENCE):
                    target.setdefault(name.removeprefix(REFERENCE), value)
        else:
            target.update({n: v for n, v in metrics.items() if not n.startswith(REFERENCE)})
    return {source: values for source, values in found.items() if values}


def _result_source(run: RunState, figures: dict[str, dict[str, float]], references: Collection[str]) -> str:
    """The first output that was measured, there or (what a step only chose from others) where it was made.

    Of a pipeline without outputs, what was measured, where that is one.
    """
    own = [source for source in figures if source not in references]
    if not run.plan.outputs:
        return own[0] if len(own) == 1 else ""
    measured = {_digest(run, source): source for source in reversed(own)}
    for source in run.plan.outputs.values():
        if source in own:
            return source
        if (digest := _digest(run, source)) in measured and digest:
            return measured[digest]
    return ""


def _digest(run: RunState, source: str) -> str:
    node, _, output = source.partition(".")
    if node == "inputs":
        return run.inputs.get(output, "")
    return (run.steps.get(node) or StepState(id=node)).outputs.get(output, "")


def _labels(plan: Plan, roles: Mapping[str, Role]) -> dict[str, str]:
    """What each source is called; branches that go the same way are told apart by it."""
    labels = {source: _label(plan, source, role) for source, role in roles.items()}
    shared = {label for label, count in Counter(labels.values()).items() if count > 1}
    return {source: source if label in shared else label for source, label in labels.items()}


def _label(plan: Plan, source: str, role: Role) -> str:
    if role is Role.ORIGINAL:
        return "original"
    if role is Role.RESULT:
        return "this pipeline"
    names = [step.uses.partition("/")[2] for step in lineage(plan, source) if step.uses != "quantizer/package"]
    return f"plain {names[0]}" if len(names) == 1 else " + ".join(names) or source


def lineage(plan: Plan, source: str) -> list[PlannedStep]:
    """The steps that lead to ``source``, first to last, along models and packages."""
    chain: list[PlannedStep] = []
    by_id = {step.id: step for step in plan.steps}
    node = source.partition(".")[0]
    while node in by_id:
        chain.insert(0, by_id[node])
        node = by_id[node].subject.partition(".")[0]
    return chain
