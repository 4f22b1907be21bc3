"""Progress of a run on a terminal: a table that redraws itself, or plain lines where output is no terminal."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Protocol, TextIO

from modelpress.client.timeline import Line, Progress, advance, line_of, lines
from modelpress.engine.events import Event, StepProgressed
from modelpress.engine.state import RunState, StepState, StepStatus
from modelpress.report import format as fmt

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

PLAIN_INTERVAL_S = 15.0
"""At least this long between two plain lines about one running step, or about what waits for a place."""

BAR_WIDTH = 14
REFRESHES_PER_SECOND = 4
HEAD_LINES = 4
"""Of a terminal's height, what is left for the head, a note, what is not shown, and the cursor."""

MARKS: Mapping[StepStatus, tuple[str, str]] = {
    StepStatus.WAITING: ("·", "dim"),
    StepStatus.READY: ("○", "cyan"),
    StepStatus.RUNNING: ("▸", "bold cyan"),
    StepStatus.SUCCEEDED: ("✓", "green"),
    StepStatus.FAILED: ("✕", "bold red"),
    StepStatus.REFUSED: ("✕", "bold yellow"),
    StepStatus.CANCELLED: ("■", "yellow"),
    StepStatus.SKIPPED: ("–", "dim"),
}

Note = Callable[[], str]
"""What is to be said besides of the run: who drives the home."""


class Display(Protocol):
    """Shows a run while it is driven; a context manager."""

    def __enter__(self) -> Display: ...

    def __exit__(self, *error: object) -> None: ...

    def on_event(self, event: Event) -> None:
        """Something happened, perhaps in another run."""

    def on_state(self, run: RunState) -> None:
        """The run is so now."""

    def on_wait(self) -> None:
        """Another process drives the home, or none, and this one looks on."""


def display(run: RunState, stream: TextIO | None = None, note: Note = str) -> Display:
    """What fits ``stream`` (default: standard error, so that results on standard output stay alone)."""
    stream = stream or sys.stderr
    return LiveDisplay(run, stream, note) if stream.isatty() else PlainDisplay(run, stream, note)


class SilentDisplay:
    """Shows nothing."""

    def __enter__(self) -> SilentDisplay:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def on_event(self, event: Event) -> None:
        return None

    def on_state(self, run: RunState) -> None:
        return None

    def on_wait(self) -> None:
        return None


class Followed:
    """A run and the progress of its steps as last told."""

    def __init__(self, run: RunState) -> None:
        self.run = run
        self.progress: dict[str, Progress] = {}
        self._seen: Mapping[str, StepState] = {}

    def take(self, event: Event) -> str:
        """The step whose progress ``event`` tells; empty for all other events."""
        if event.run_id != self.run.run_id or not isinstance(event, StepProgressed):
            return ""
        word = Progress(event.stage, event.done, event.total, event.metrics, event.at_s)
        self.progress[event.step_id] = advance(self.progress.get(event.step_id), word)
        return event.step_id

    def become(self, run: RunState) -> list[str]:
        """Take the run as it is now; ids of the steps that changed since, the first time of all, in file order."""
        seen, self.run, self._seen = self._seen, run, run.steps
        return [step.id for step in run.plan.steps if run.steps[step.id] is not seen.get(step.id)]


class PlainDisplay:
    """A line when a step starts, ends, has to wait for more than a place, and now and then between."""

    def __init__(self, run: RunState, stream: TextIO, note: Note = str) -> None:
        self._followed = Followed(run)
        self._stream = stream
        self._note = note
        self._noted = ""
        self._told: dict[str, tuple[object, float, str]] = {}
        self._written_s = time.time()

    def __enter__(self) -> PlainDisplay:
        run = self._followed.run
        self._write(f"run {run.run_id}: {run.plan.name}, {len(run.plan.steps)} steps")
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def on_event(self, event: Event) -> None:
        step_id = self._followed.take(event)
        self._tell([step_id] if step_id else [], event.at_s)

    def on_state(self, run: RunState) -> None:
        self._tell(self._followed.become(run), time.time())

    def on_wait(self) -> None:
        noted = self._note()
        if noted and noted != self._noted:
            self._noted = noted
            self._write(noted)

    def _tell(self, step_ids: Iterable[str], now_s: float) -> None:
        for step_id in step_ids:
            state = self._followed.run.steps[step_id]
            line = line_of(self._followed.run, step_id, self._followed.progress.get(step_id), now_s)
            if self._is_news(state, line, now_s):
                self._told[step_id] = (_phase(state), now_s, line.detail)
                self._write(plain_line(line))
        if now_s - self._written_s >= PLAIN_INTERVAL_S:
            self._tell_places()

    def _is_news(self, state: StepState, line: Line, now_s: float) -> bool:
        phase, told_s, detail = self._told.get(line.id, (None, 0.0, ""))
        if _phase(state) != phase:
            return not _expected(state)
        return state.status is StepStatus.RUNNING and now_s - told_s >= PLAIN_INTERVAL_S and line.detail != detail

    def _tell_places(self) -> None:
        steps = self._followed.run.steps.values()
        count = sum(step.status is StepStatus.READY and not step.waits_for for step in steps)
        if count:
            self._write(f"  {count:,} step{'s wait' if count > 1 else ' waits'} for a place")

    def _write(self, text: str) -> None:
        self._written_s = time.time()
        self._stream.write(fmt.printable(text) + "\n")
        self._stream.flush()


def _phase(state: StepState) -> object:
    """What makes a line of its own when it changes."""
    return state.status, state.attempt, state.waits_for


def _expected(state: StepState) -> bool:
    """Whether a step only waits its turn, as every step does."""
    if state.status is StepStatus.WAITING:
        return not state.backoff_s
    return state.status is StepStatus.READY and state.attempt <= 1 and not state.waits_for


def plain_line(line: Line) -> str:
    """``recover: running, epoch 3/8, loss 0.312, about 1 min 20 s left``."""
    took = f"in {fmt.duration(line.took_s)}" if line.took_s is not None and line.status.final else ""
    left = f"about {fmt.duration(line.left_s)} left" if line.left_s else ""
    status = f"{line.status} {took}".strip()
    return f"  {line.id}: " + ", ".join(part for part in (status, line.detail, left) if part)


class LiveDisplay:
    """A table of the steps, redrawn in place a few times a second."""

    def __init__(self, run: RunState, stream: TextIO, note: Note = str) -> None:
        self._followed = Followed(run)
        self._stream = stream
        self._note = note
        self._console: Console | None = None
        self._live: Live | None = None

    def __enter__(self) -> LiveDisplay:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(file=self._stream)
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=REFRESHES_PER_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start(refresh=True)
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def on_event(self, event: Event) -> None:
        self._followed.take(event)

    def on_state(self, run: RunState) -> None:
        self._followed.run = run

    def on_wait(self) -> None:
        return None

    def _render(self) -> RenderableType:
        now_s, run = time.time(), self._followed.run
        most = max(1, self._console.height - HEAD_LINES) if self._console else None
        return steps_table(run, lines(run, self._followed.progress, now_s, most), now_s, self._note())


def steps_table(run: RunState, rows: list[Line], now_s: float, note: str = "", *, cut: bool = True) -> RenderableType:
    """The run as a table for rich: its head, ``note``, ``rows``, and how many steps are not among them.

    Where it is too narrow, what a step tells gives way: ``cut`` to a line a step, else folded.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for justify in ("left", "left", "left", "right"):
        table.add_column(justify=justify, no_wrap=True, overflow="ellipsis")
    table.add_column(overflow="fold")
    for line in rows:
        mark, style = MARKS[line.status]
        took = fmt.duration(line.took_s) if line.took_s is not None else ""
        left = f"{fmt.duration(line.left_s)} left" if line.left_s else ""
        detail = Text.assemble((left, "cyan"), "  " if left else "", (fmt.printable(line.detail), "dim"))
        detail.no_wrap, detail.overflow = cut, "ellipsis" if cut else "fold"
        cells = ((mark, style), (line.id, "bold"), (_bar(line), style), (took, ""))
        table.add_row(*(Text(content, style=cell_style) for content, cell_style in cells), detail)
    elapsed = fmt.duration(max(0.0, (run.ended_s or now_s) - run.submitted_s))
    total = len(run.plan.steps)
    facts = f"  run {run.run_id}  {run.status}  {total - run.open_steps:,}/{total:,} steps  {elapsed}"
    below = [Text(text, style="dim") for text in (_others(run, rows),) if text]
    notes = [Text(note, style="yellow")] if note else []
    return Group(Text.assemble((fmt.printable(run.plan.name), "bold"), facts), *notes, table, *below)


def _others(run: RunState, rows: list[Line]) -> str:
    """``… 9,980 more: 120 succeeded, 9,860 waiting``; empty where every step is shown."""
    count = len(run.plan.steps) - len(rows)
    if not count:
        return ""
    found = Counter(step.status for step in run.steps.values())
    found.subtract(line.status for line in rows)
    return f"… {count:,} more: " + ", ".join(f"{number:,} {status}" for status, number in found.items() if number)


def _bar(line: Line) -> str:
    if line.status is not StepStatus.RUNNING or not line.share:
        return str(line.status)
    full = round(BAR_WIDTH * line.share)
    return "━" * full + "╌" * (BAR_WIDTH - full)
