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


def lines(run: RunState, progress: Mapping[str, Progress], now_s: float) -> list[Line]:
    """Every step of ``run`` in file order."""
    states = [run.steps.get(step.id) or StepState(id=step.id) for step in run.plan.steps]
    return [_line(run, state, progress.get(state.id), now_s) for state in states]


def _line(run: RunState, state: StepState, word: Progress | None, now_s: float) -> Line:
    running = state.status is StepStatus.RUNNING
    end_s = now_s if running else state.ended_s
    took = max(0.0, end_s - state.started_s) if state.started_s and end_s else None
    share = 1.0 if state.status is StepStatus.SUCCEEDED else word.share if running and word else 0.0
    left = word.left_s() if running and word else None
    return Line(state.id, run.plan.step(state.id).uses, state.status, detail(state, word), share, took, left)


def detail(state: StepState, word: Progress | None) -> str:
    """``epoch 3/8, loss 0.312`` while it runs; its metrics, or its error, after."""
    if state.status is StepStatus.FAILED:
        return state.error.splitlines()[0] if state.error else ""
    if state.status is StepStatus.RUNNING:
        return _progress_text(word) if word else ""
    text = metrics_text(state.metrics)
    return f"from cache  {text}".strip() if state.cached else text


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
