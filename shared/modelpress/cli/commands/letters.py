"""``dead-letters``: what could not be done or read, to be tried again or forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from modelpress.cli import completion, options, output
from modelpress.cli.commands.runs import PANEL, tell_submitted

if TYPE_CHECKING:
    from modelpress.engine.events import DeadLetter

letters = typer.Typer(help="Steps that failed and records that could not be read: list, replay, drop.")

LetterId = Annotated[
    str, typer.Argument(metavar="ID", help="A letter's id, as listed.", autocompletion=completion.complete_letter)
]


def register(app: typer.Typer) -> None:
    app.add_typer(letters, name="dead-letters", rich_help_panel=PANEL)


@letters.callback(invoke_without_command=True)
def dead_letters(ctx: typer.Context, home: options.Home = None, as_json: options.Json = False) -> None:
    """Steps that failed and records that could not be read; alone it lists them."""
    if ctx.invoked_subcommand is None:
        list_letters(home, as_json)


@letters.command("list")
def list_letters(home: options.Home = None, as_json: options.Json = False) -> None:
    """List them, oldest first."""
    from modelpress.report import format as fmt

    with options.client(home) as client:
        found = client.dead_letters()
    if as_json:
        output.emit_json([letter.model_dump(mode="json") for letter in found])
    elif found:
        rows = [[letter.id, fmt.moment(letter.at_s), _about(letter), _first_line(letter.error)] for letter in found]
        output.table(["letter", "when", "what", "error"], rows, cut="error")
    else:
        output.say("there are no dead letters")


@letters.command()
def replay(letter_id: LetterId, home: options.Home = None, as_json: options.Json = False) -> None:
    """Try one again: a step's run is resumed, a record is sent anew. The letter is dropped."""
    with options.client(home) as client:
        resumed = client.replay(letter_id)
        if resumed is not None:
            tell_submitted(client, resumed, as_json)
        elif as_json:
            output.emit_json({"run_id": None, "driver_pid": client.engine.driver_pid()})
        else:
            output.say(f"sent the record of {letter_id} anew")


@letters.command()
def drop(
    letter_id: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="A letter's id, as listed.", autocompletion=completion.complete_letter),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every letter.")] = False,
    home: options.Home = None,
) -> None:
    """Forget one, or all."""
    from modelpress.errors import InputError

    if (letter_id is None) is not every:
        raise InputError("name one letter to drop, or say --all (modelpress dead-letters lists them)")
    with options.client(home) as client:
        ids = [letter.id for letter in client.dead_letters()] if letter_id is None else [letter_id]
        for one in ids:
            client.drop(one)
    output.say(f"dropped {len(ids):,} letter{'' if len(ids) == 1 else 's'}")


def _about(letter: DeadLetter) -> str:
    """The step, or where the record stands."""
    if letter.command is not None:
        return f"step {letter.command.step_id} of {letter.command.run_id}"
    return f"record {letter.topic}/{letter.partition}@{letter.offset}"


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
