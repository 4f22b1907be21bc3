"""``docs/cli.md``, written from the commands themselves: ``python -m docs.cli``; a test compares the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from modelpress.cli.app import EPILOG, app

PAGE = Path(__file__).resolve().parent / "cli.md"
HEAD = """# The commands

Written from the program by `python -m docs.cli` (`make docs`). `modelpress COMMAND --help` says the same.

A home holds runs and artifacts: `--home`, else `MODELPRESS_HOME`, else `~/.modelpress`. Any number of terminals may use
one home. One of them at a time drives it, that is, does the steps of *every* unfinished run in it: the first `run` or
`resume`. The others follow, and one takes over within a second when the driver is gone. `submit` only records, `watch`
and `logs --follow` only look on; each says when nothing drives the home.

Ctrl-C on `run` and `resume` cancels that run, whoever drives it; what it finished stays in the cache and `resume` goes
on from there. Ctrl-C on `watch` and `logs --follow` only stops looking. A killed `run` is gone on with by the same
command.

Every command that reads takes `--json`. Tables fit the terminal; what is piped is never cut. `modelpress
--install-completion` completes commands, runs, steps, tags, methods, recipes and pipeline files in your shell.
"""
SHARED = {"home": "--home", "as_json": "--json"}
"""Options that the page explains once, by parameter."""


def page() -> str:
    """The page as it must be."""
    root = typer.main.get_command(app)
    lines = [HEAD, EPILOG, ""]
    panels: dict[str, list[str]] = {}
    for name, command in _commands(root, ""):
        panels.setdefault(command.rich_help_panel or "", []).extend(_section(name, command))
    for panel, sections in panels.items():
        lines += [f"## {panel}", "", *sections]
    return "\n".join(lines).rstrip() + "\n"


def _commands(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Every command with its whole name; those of a group stand on its panel."""
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        if inner is None:
            yield f"{prefix}{name}", command
            continue
        if command.invoke_without_command:
            yield f"{prefix}{name}", command
        for full, one in _commands(command, f"{prefix}{name} "):
            one.rich_help_panel = command.rich_help_panel
            yield full, one


def _section(name: str, command: Any) -> list[str]:
    given = [p for p in command.params if p.param_type_name == "argument"]
    named = [p for p in command.params if p.param_type_name == "option" and p.name not in ("help", *SHARED)]
    words = " ".join([name, *(_word(p) if p.required else f"[{_word(p)}]" for p in given)])
    shared = [f"`{option}`" for key, option in SHARED.items() if any(p.name == key for p in command.params)]
    takes = [f"Takes {' and '.join(shared)}.", ""] if shared else []
    rows = [*(_row(_word(p), p) for p in given), *(_row(_option(p), p) for p in named)]
    table = ["| | |", "|---|---|", *rows, ""] if rows else []
    return [f"### `modelpress {words}`", "", _line(command.help), "", *table, *takes]


def _word(parameter: Any) -> str:
    word = str(parameter.metavar or parameter.name.upper())
    return f"{word}..." if parameter.nargs == -1 else word


def _option(parameter: Any) -> str:
    names = ", ".join(parameter.opts)
    return names if parameter.is_flag else f"{names} {_word(parameter)}"


def _row(name: str, parameter: Any) -> str:
    needed = " Required." if parameter.param_type_name == "option" and parameter.required else ""
    default = "" if _is_silent(parameter) else f" Default: {parameter.default}."
    return f"| `{_line(name)}` | {_line(parameter.help)}{needed}{default} |"


def _is_silent(parameter: Any) -> bool:
    """Whether a parameter has no default, or tells it in its help."""
    return parameter.required or parameter.default in (None, False) or "default" in parameter.help


def _line(text: str | None) -> str:
    """Help as one line that a table takes."""
    return " ".join((text or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
