"""``run`` and what can be done with runs after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelpress.cli import options, output, tables

if TYPE_CHECKING:
    from modelpress.client.run import Run
    from modelpress.engine.state import RunState

PANEL = "Runs"
INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    app.command("run", rich_help_panel=PANEL)(run)
    app.command("list", rich_help_panel=PANEL)(list_runs)
    for command in (get, report, logs, cancel, resume):
        app.command(rich_help_panel=PANEL)(command)


def run(
    pipeline: options.Pipeline,
    model: options.Model = None,
    data: options.Data = None,
    settings: options.Settings = None,
    seed: options.Seed = None,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Run a pipeline and follow it. Ctrl-C cancels; what was finished is kept for resume."""
    values = options.parse_settings(settings)
    with options.client(home) as client:
        follow(client.run(pipeline, model=model, data=data, set=values, seed=seed), as_json)


def resume(run_id: options.RunId, home: options.Home = None, as_json: options.Json = False) -> None:
    """Run a pipeline again from where a run failed or was cancelled; finished steps come from the cache."""
    with options.client(home) as client:
        follow(client.get(run_id).resume(), as_json)


def follow(submitted: Run, as_json: bool) -> None:
    """Wait for a run, tell what came out, and exit with its code."""
    wait(submitted)
    state = submitted.state
    if as_json:
        output.emit_json(as_record(state))
    else:
        tables.result(submitted)
    if not submitted.succeeded:
        raise typer.Exit(1)


def wait(submitted: Run) -> None:
    """Drive a run to its end; Ctrl-C cancels it, says how to go on, and exits with 130."""
    try:
        submitted.wait(progress=True)
    except KeyboardInterrupt:
        output.complain(f"cancelled. Go on from what is finished: modelpress resume {submitted.id}")
        raise typer.Exit(INTERRUPTED) from None


def list_runs(home: options.Home = None, as_json: options.Json = False) -> None:
    """List the runs, newest first."""
    with options.client(home) as client:
        states = [run.state for run in client.runs()]
    if as_json:
        output.emit_json([summary(state) for state in states])
    else:
        tables.runs(states)


def summary(state: RunState) -> dict[str, Any]:
    """A run in a line, as JSON."""
    from modelpress.report.evidence import verdict

    keys = {"run_id", "status", "submitted_s", "ended_s", "resumed_from", "outputs"}
    return {"name": state.plan.name, "verdict": verdict(state), **state.model_dump(mode="json", include=keys)}


def as_record(state: RunState) -> dict[str, Any]:
    """A run with everything that is known of it, as JSON."""
    from modelpress.report.evidence import verdict

    return {"verdict": verdict(state), **state.model_dump(mode="json")}


def get(run_id: options.RunId, home: options.Home = None, as_json: options.Json = False) -> None:
    """Show a run: verdict, steps, figures, outputs."""
    with options.client(home) as client:
        found = client.get(run_id)
        if as_json:
            output.emit_json(as_record(found.state))
        else:
            tables.steps(found.state)
            tables.result(found)


def report(
    run_id: options.RunId,
    html: Annotated[Path, typer.Option("--html", help="The file to write.")],
    home: options.Home = None,
) -> None:
    """Write a run's report: one HTML file with the evidence, that needs nothing else."""
    with options.client(home) as client:
        output.say(f"wrote {client.get(run_id).report(html)}")


def logs(
    run_id: options.RunId,
    step: Annotated[str | None, typer.Argument(help="A step's id; all steps when omitted.")] = None,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Print the logs of a run's steps."""
    from modelpress.errors import NotFoundError, nearest

    with options.client(home) as client:
        found = client.get(run_id)
        ids = [planned.id for planned in found.state.plan.steps]
        if step is not None and step not in ids:
            raise NotFoundError(f"run {found.id} has no step '{step}': {nearest(step, ids)}")
        texts = {step_id: found.logs(step_id) for step_id in ([step] if step else ids)}
    if as_json:
        output.emit_json(texts)
        return
    for step_id, text in texts.items():
        if text:
            output.write(f"--- {step_id}\n{text.rstrip()}\n")


def cancel(run_id: options.RunId, home: options.Home = None) -> None:
    """Cancel a run; what was finished is kept."""
    with options.client(home) as client:
        found = client.get(run_id)
        found.cancel()
    output.say(f"asked run {found.id} to stop; modelpress resume {found.id} goes on from what is finished")
