"""Progress of a run on a terminal: a table that redraws itself, or plain lines where output is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, TextIO

from modelpress.client.timeline import Line, Progress, advance, lines
from modelpress.engine.events import Event, StepProgressed
from modelpress.engine.fold import apply
from modelpress.engine.state import RunState, StepStatus
from modelpress.report import format as fmt

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

PLAIN_INTERVAL_S = 15.0
"""At least this long between two plain lines about one running step."""

BAR_WIDTH = 14
REFRESHES_PER_SECOND = 4

MARKS: Mapping[StepStatus, tuple[str, str]] = {
    StepStatus.WAITING: ("·", "dim"),
    StepStatus.RUNNING: ("▸", "bold cyan"),
    StepStatus.SUCCEEDED: ("✓", "green"),
    StepStatus.FAILED: ("✕", "bold red"),
    StepStatus.REFUSED: ("✕", "bold yellow"),
    StepStatus.CANCELLED: ("■", "yellow"),
    StepStatus.SKIPPED: ("–", "dim"),
}


class Display(Protocol):
    """Shows a run while it is driven; a context manager."""

    def __enter__(self) -> Display: ...

    def __exit__(self, *error: object) -> None: ...

    def on_event(self, event: Event) -> None:
        """Something happened, perhaps in another run."""


def display(run: RunState, stream: TextIO | None = None) -> Display:
    """What fits ``stream`` (default: standard error, so that results on standard output stay alone)."""
    stream = stream or sys.stderr
    return LiveDisplay(run, stream) if stream.isatty() else PlainDisplay(run, stream)


class SilentDisplay:
    """Shows nothing."""

    def __enter__(self) -> SilentDisplay:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def on_event(self, event: Event) -> None:
        return None


class Followed:
    """A run and the progress of its steps, kept current by events."""

    def __init__(self, run: RunState) -> None:
        self.run = run
        self.progress: dict[str, Progress] = {}

    def take(self, event: Event) -> None:
        if event.run_id != self.run.run_id:
            return
        self.run = apply(self.run, event) or self.run
        if isinstance(event, StepProgressed):
            word = Progress(event.stage, event.done, event.total, event.metrics, event.at_s)
            self.progress[event.step_id] = advance(self.progress.get(event.step_id), word)

    def lines(self, now_s: float) -> list[Line]:
        return lines(self.run, self.progress, now_s)


class PlainDisplay:
    """A line when a step starts, ends, and now and then between."""

    def __init__(self, run: RunState, stream: TextIO) -> None:
        self._followed = Followed(run)
        self._stream = stream
        self._told: dict[str, tuple[StepStatus, float, str]] = {}

    def __enter__(self) -> PlainDisplay:
        run = self._followed.run
        self._write(f"run {run.run_id}: {run.plan.name}, {len(run.plan.steps)} steps")
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def on_event(self, event: Event) -> None:
        self._followed.take(event)
        for line in self._followed.lines(event.at_s):
            if self._is_news(line, event.at_s):
                self._told[line.id] = (line.status, event.at_s, line.detail)
                self._write(plain_line(line))

    def _is_news(self, line: Line, now_s: float) -> bool:
        status, told_s, detail = self._told.get(line.id, (StepStatus.WAITING, 0.0, ""))
        if line.status is not status:
            return True
        later = now_s - told_s >= PLAIN_INTERVAL_S
        return line.status is StepStatus.RUNNING and later and line.detail != detail

    def _write(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


def plain_line(line: Line) -> str:
    """``recover: running, epoch 3/8, loss 0.312, about 1 min 20 s left``."""
    took = f"in {fmt.duration(line.took_s)}" if line.took_s is not None and line.status.final else ""
    left = f"about {fmt.duration(line.left_s)} left" if line.left_s else ""
    status = f"{line.status} {took}".strip()
    return f"  {line.id}: " + ", ".join(part for part in (status, line.detail, left) if part)


class LiveDisplay:
    """A table of the steps, redrawn in place a few times a second."""

    def __init__(self, run: RunState, stream: TextIO) -> None:
        self._followed = Followed(run)
        self._stream = stream
        self._live: Live | None = None

    def __enter__(self) -> LiveDisplay:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            console=Console(file=self._stream),
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

    def _render(self) -> RenderableType:
        now_s = time.time()
        return steps_table(self._followed.run, self._followed.lines(now_s), now_s)


def steps_table(run: RunState, rows: list[Line], now_s: float) -> RenderableType:
    """The run as a table for rich."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for justify in ("left", "left", "left", "right"):
        table.add_column(justify=justify, no_wrap=True, overflow="ellipsis")
    table.add_column(ratio=1, overflow="ellipsis", no_wrap=True)
    for line in rows:
        mark, style = MARKS[line.status]
        took = fmt.duration(line.took_s) if line.took_s is not None else ""
        left = f"{fmt.duration(line.left_s)} left" if line.left_s else ""
        detail = Text.assemble((left, "cyan"), "  " if left else "", (line.detail, "dim"))
        cells = ((mark, style), (line.id, "bold"), (_bar(line), style), (took, ""))
        table.add_row(*(Text(content, style=cell_style) for content, cell_style in cells), detail)
    elapsed = fmt.duration(max(0.0, (run.ended_s or now_s) - run.submitted_s))
    done = sum(line.status.final for line in rows)
    facts = f"  run {run.run_id}  {run.status}  {done}/{len(rows)} steps  {elapsed}"
    return Group(Text.assemble((run.plan.name, "bold"), facts), table)


def _bar(line: Line) -> str:
    if line.status is not StepStatus.RUNNING:
        return str(line.status)
    full = round(BAR_WIDTH * line.share)
    return "━" * full + "╌" * (BAR_WIDTH - full)
