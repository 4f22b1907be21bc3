"""What reads runs: ``list``, ``get``, ``logs``, ``report``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelpress.cli import completion, options, output, tables
from modelpress.cli.commands.runs import INTERRUPTED, PANEL

if TYPE_CHECKING:
    from modelpress.client.client import Client
    from modelpress.client.run import Run
    from modelpress.engine.state import RunStatus

NEWEST = 50


def register(app: typer.Typer) -> None:
    app.command("list", rich_help_panel=PANEL)(list_runs)
    for command in (get, logs, report):
        app.command(rich_help_panel=PANEL)(command)


def list_runs(
    status: Annotated[
        list[str] | None,
        typer.Option(
            "--status", help="Only runs of that status; repeat for more.", autocompletion=completion.complete_status
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help=f"At most so many, the newest (default: {NEWEST}; with --json all)."),
    ] = None,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """List the runs, newest first."""
    wanted = [parse_status(text) for text in status or ()]
    with options.client(home) as client:
        states = [state for state in client.engine.runs() if not wanted or state.status in wanted]
        for fault in client.engine.unreadable().values():
            output.complain(fault)
    if as_json:
        output.emit_json([tables.summary(state) for state in states[:limit]])
        return
    shown = states[: limit or NEWEST]
    tables.runs(shown)
    if len(shown) < len(states):
        output.say(f"{len(states) - len(shown):,} older: --limit {len(states)} shows all", "dim")


def parse_status(text: str) -> RunStatus:
    """A status of runs by its name.

    Raises:
        InputError: there is no such status; offers the nearest.
    """
    from modelpress.engine.state import RunStatus
    from modelpress.errors import InputError, nearest

    if text not in list(RunStatus):
        raise InputError(f"--status: there is no status '{text}': {nearest(text, map(str, RunStatus))}")
    return RunStatus(text)


def get(run_id: options.RunId, home: options.Home = None, as_json: options.Json = False) -> None:
    """Show a run: verdict, steps, figures, outputs."""
    with options.client(home) as client:
        found = client.get(run_id)
        if as_json:
            output.emit_json(tables.as_record(found.state))
        else:
            tables.steps(found.state)
            tables.result(found)


def logs(
    run_id: options.RunId,
    step: Annotated[
        str | None,
        typer.Argument(
            metavar="STEP", help="A step's id; all steps when omitted.", autocompletion=completion.complete_step
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on as they grow, until the run ends; Ctrl-C only stops that.")
    ] = False,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Print what a run's steps wrote."""
    from modelpress.errors import InputError

    if follow and as_json:
        raise InputError("--follow prints as the steps write, which is no JSON: leave --json or --follow out")
    with options.client(home) as client:
        found = client.get(run_id)
        if follow:
            _follow(client, found, step)
            return
        texts = {step_id: found.logs(step_id) for step_id in ([step] if step else found.state.steps)}
    if as_json:
        output.emit_json(texts)
        return
    for step_id, text in texts.items():
        if text:
            output.write(f"--- {step_id}\n{text.rstrip()}\n")


def _follow(client: Client, found: Run, step: str | None) -> None:
    from modelpress.client.following import who_drives

    printer = LogPrinter(lambda: who_drives(client.engine, found.id, watching=True))
    try:
        found.follow_logs(printer.write, step, printer.on_wait)
    except KeyboardInterrupt:
        output.complain(f"no longer following; the run goes on. To end it: modelpress cancel {found.id}")
        raise typer.Exit(INTERRUPTED) from None


class LogPrinter:
    """Prints what several steps write as it comes, each time with the step's name where another step wrote before."""

    def __init__(self, note: Callable[[], str]) -> None:
        self._note = note
        self._noted = ""
        self._step = ""
        self._ended = True

    def write(self, step: str, text: str) -> None:
        if step != self._step:
            output.write(("" if self._ended else "\n") + f"--- {step}\n")
        output.write(text)
        self._step, self._ended = step, text.endswith("\n")

    def on_wait(self) -> None:
        """Say who drives the home, when that changes."""
        noted = self._note()
        if noted and noted != self._noted:
            output.complain(noted)
        self._noted = noted


def report(
    run_id: options.RunId,
    html: Annotated[Path, typer.Option("--html", help="The file to write.")],
    home: options.Home = None,
) -> None:
    """Write a run's report: one HTML file with the evidence, that needs nothing else."""
    with options.client(home) as client:
        output.say(f"wrote {client.get(run_id).report(html)}")
