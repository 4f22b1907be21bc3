"""What a follower of a run says about each step: status, progress, metrics, time gone and time left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelpress.engine.state import RunState, StepState, StepStatus
from modelpress.report import format as fmt

UNITS: Mapping[str, str] = {"train": "epoch", "training": "epoch"}
"""What the whole numbers of a stage count, where that says more than a percentage."""


LEFT = "seconds_left"


@dataclass(frozen=True)
class Progress:
    """The latest word of a running step. ``first_s`` and ``first_done`` are of the first word of this stage.

    A metric called ``seconds_left`` is the step's own estimate, and goes before ours.
    """

    stage: str
    done: float
    total: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    at_s: float = 0.0
    first_s: float = 0.0
    first_done: float = 0.0

    @property
    def share(self) -> float:
        return min(1.0, self.done / self.total) if self.total > 0 else 0.0

    def left_s(self) -> float | None:
        """Seconds until the stage ends: as the step says, else at the pace so far; None before there is one."""
        if LEFT in self.metrics:
            return self.metrics[LEFT]
        moved, took = self.done - self.first_done, self.at_s - self.first_s
        return took * (self.total - self.done) / moved if moved > 0 and took > 0 else None


def advance(before: Progress | None, word: Progress) -> Progress:
    """``word`` with the start of its stage remembered from ``before``."""
    if before is None or before.stage != word.stage or word.done < before.done:
        first_s, first_done = word.at_s, word.done
    else:
        first_s, first_done = before.first_s, before.first_done
    return Progress(word.stage, word.done, word.total, word.metrics, word.at_s, first_s, first_done)


@dataclass(frozen=True)
class Line:
    """One step as shown."""

    id: str
    uses: str
    status: StepStatus
    detail: str
    share: float
    took_s: float | None
    left_s: float | None


def lines(run: RunState, progress: Mapping[str, Progress], now_s: float, most: int | None = None) -> list[Line]:
    """The steps of ``run`` in file order; of more than ``most`` those that tell most."""
    return [line_of(run, step_id, progress.get(step_id), now_s) for step_id in telling_steps(run, most)]


def line_of(run: RunState, step_id: str, word: Progress | None, now_s: float) -> Line:
    """One step of ``run`` as it is at ``now_s`` (seconds since the epoch); ``word`` is its latest progress."""
    state = run.steps[step_id]
    running = state.status is StepStatus.RUNNING
    end_s = now_s if running else state.ended_s
    took = max(0.0, end_s - state.started_s) if state.started_s and end_s else None
    share = 1.0 if state.status is StepStatus.SUCCEEDED else word.share if running and word else 0.0
    left = word.left_s() if running and word else None
    return Line(step_id, run.plan.step(step_id).uses, state.status, detail(state, word), share, took, left)


def telling_steps(run: RunState, most: int | None) -> list[str]:
    """At most ``most`` ids in file order: what runs, went wrong or waits for others, then what ended last."""
    ids = [step.id for step in run.plan.steps]
    if most is None or len(ids) <= most:
        return ids
    chosen = set(sorted(ids, key=lambda step_id: _interest(run.steps[step_id]))[: max(0, most)])
    return [step_id for step_id in ids if step_id in chosen]


def _interest(state: StepState) -> tuple[int, float]:
    if state.status in (StepStatus.RUNNING, StepStatus.FAILED, StepStatus.REFUSED):
        return 0, 0.0
    if waiting(state):
        return 1, 0.0
    return 2, -state.ended_s


def waiting(state: StepState) -> str:
    """Why a step that could go on does not: a pause after a fault, another run, a place. Empty for all others."""
    again = f"attempt {state.attempt} " if state.attempt > 1 else ""
    because = f": {_first_line(state.error)}" if again and state.error else ""
    if state.status is StepStatus.WAITING:
        return f"{again}after a pause of {fmt.duration(state.backoff_s)}{because}" if state.backoff_s else ""
    if state.status is StepStatus.READY:
        return f"{again}waits for {state.waits_for or 'a place'}{because}"
    return ""


def detail(state: StepState, word: Progress | None) -> str:
    """``epoch 3/8, loss 0.312`` while it runs; what it waits for before; its metrics, or its error, after."""
    if state.status in (StepStatus.FAILED, StepStatus.SKIPPED):
        return _first_line(state.error)
    if state.status is StepStatus.RUNNING:
        again = [f"attempt {state.attempt}"] if state.attempt > 1 else []
        return ", ".join([*again, *([_progress_text(word)] if word else [])])
    text = waiting(state) or metrics_text(state.metrics)
    return f"from cache  {text}".strip() if state.cached else text


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else ""


def _progress_text(word: Progress) -> str:
    unit = UNITS.get(word.stage, word.stage)
    whole = word.total <= 1000 and float(word.total).is_integer()
    place = f"{unit} {fmt.compact(word.done)}/{word.total:.0f}" if whole else f"{word.stage} {100 * word.share:.0f} %"
    return ", ".join([place, *_metric_texts({k: v for k, v in word.metrics.items() if k != LEFT})])


def metrics_text(metrics: Mapping[str, float], most: int = 3) -> str:
    """The most telling metrics in a line."""
    return ", ".join(_metric_texts({name: metrics[name] for name in fmt.telling(metrics, most)}))


def _metric_texts(metrics: Mapping[str, float]) -> list[str]:
    return [f"{name.replace('_', ' ')} {fmt.metric(name, value)}" for name, value in metrics.items()]
