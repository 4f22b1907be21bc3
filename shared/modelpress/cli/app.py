"""The command tree. Commands import what they need when they run, so that ``--help`` stays quick."""

from __future__ import annotations

from typing import Annotated

import typer

from modelpress import __version__
from modelpress.cli.commands import catalogue, demo, letters, pipelines, reading, runs, store, upkeep, xray

EPILOG = (
    "Exit codes: 0 done, 1 the run failed, was cancelled or a gate refused it, or the program could not go on, 2 the "
    "input was wrong, 3 the server could not be reached, 130 interrupted. Add --debug to any command for the traceback "
    "of an error."
)

app = typer.Typer(
    name="modelpress",
    help="Compress neural networks by joint pipelines: prune, quantize, distill, with the evidence.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"modelpress {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of the program itself."""


demo.register(app)
xray.register(app)
store.register(app)
runs.register(app)
reading.register(app)
letters.register(app)
pipelines.register(app)
catalogue.register(app)
upkeep.register(app)
