"""What starts, follows and ends runs: ``run``, ``submit``, ``watch``, ``resume``, ``cancel``, ``rm``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from modelpress.cli import completion, options, output, tables

if TYPE_CHECKING:
    from modelpress.client.client import Client
    from modelpress.client.run import Run

PANEL = "Runs"
INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    for command in (run, submit, watch, resume, cancel, rm):
        app.command(rich_help_panel=PANEL)(command)


def run(
    pipeline: options.Pipeline,
    model: options.Model = None,
    data: options.Data = None,
    settings: options.Settings = None,
    seed: options.Seed = None,
    priority: options.Priority = 0,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Run a pipeline and follow it. Ctrl-C cancels; what was finished is kept for resume."""
    values = options.parse_settings(settings)
    with options.client(home) as client:
        follow(client.run(pipeline, model=model, data=data, set=values, seed=seed, priority=priority), as_json)


def submit(
    pipeline: options.Pipeline,
    model: options.Model = None,
    data: options.Data = None,
    settings: options.Settings = None,
    seed: options.Seed = None,
    priority: options.Priority = 0,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Record a run and return at once; whatever drives the home does it."""
    values = options.parse_settings(settings)
    with options.client(home) as client:
        made = client.submit(pipeline, model=model, data=data, set=values, seed=seed, priority=priority)
        tell_submitted(client, made, as_json)


def tell_submitted(client: Client, made: Run, as_json: bool) -> None:
    """The run's id, and who does it."""
    driver_pid = client.engine.driver_pid()
    if as_json:
        output.emit_json({"run_id": made.id, "driver_pid": driver_pid})
        return
    output.say(f"submitted {made.id}")
    if driver_pid is None:
        output.complain(f"nothing drives this home now: modelpress resume {made.id} does, and so does any run")
    else:
        output.complain(f"process {driver_pid} drives this home: modelpress watch {made.id} follows")


def watch(run_id: options.RunId, home: options.Home = None, as_json: options.Json = False) -> None:
    """Follow a run that another terminal drives. Ctrl-C only stops watching."""
    with options.client(home) as client:
        found = client.get(run_id)
        try:
            found.watch()
        except KeyboardInterrupt:
            output.complain(f"no longer watching; the run goes on. To end it: modelpress cancel {found.id}")
            raise typer.Exit(INTERRUPTED) from None
        finish(found, as_json)


def resume(run_id: options.RunId, home: options.Home = None, as_json: options.Json = False) -> None:
    """Go on with a run that did not end; run one that failed or was cancelled again, finished steps from the cache."""
    with options.client(home) as client:
        follow(client.get(run_id).resume(), as_json)


def follow(submitted: Run, as_json: bool) -> None:
    """Wait for a run, tell what came out, and exit with its code."""
    wait(submitted)
    finish(submitted, as_json)


def wait(submitted: Run) -> None:
    """Drive a run to its end; Ctrl-C cancels it, says how to go on, and exits with 130."""
    try:
        submitted.wait(progress=True)
    except KeyboardInterrupt:
        output.complain(f"cancelled. Go on from what is finished: modelpress resume {submitted.id}")
        raise typer.Exit(INTERRUPTED) from None


def finish(ended: Run, as_json: bool) -> None:
    """Tell what came out of a run, and exit with its code."""
    if as_json:
        output.emit_json(tables.as_record(ended.state))
    else:
        tables.result(ended)
    if not ended.succeeded:
        raise typer.Exit(1)


def cancel(run_id: options.RunId, home: options.Home = None) -> None:
    """End a run and its steps; what was finished is kept."""
    with options.client(home) as client:
        found = client.get(run_id)
        if found.status.final:
            output.say(f"run {found.id} has ended already: {found.status}")
            return
        status = found.cancel()
    told = f"run {found.id} is {status}" if status.final else f"asked run {found.id} to stop; it is {status} yet"
    output.say(f"{told}. Go on from what is finished: modelpress resume {found.id}")


def rm(
    run_ids: Annotated[
        list[str], typer.Argument(metavar="RUN", help=options.RUN_HELP, autocompletion=completion.complete_run)
    ],
    home: options.Home = None,
) -> None:
    """Forget runs that have ended, and their logs; gc frees what only they kept."""
    with options.client(home) as client:
        for found in [client.get(run_id) for run_id in run_ids]:
            found.remove()
            output.say(f"removed {found.id}")
