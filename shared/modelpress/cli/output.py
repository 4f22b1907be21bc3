"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def console() -> Console:
    """The terminal. Piped output is not wrapped, so that it can be searched line by line."""
    from rich.console import Console

    piped = not sys.stdout.isatty()
    return Console(highlight=False, soft_wrap=piped, width=200 if piped else None)


def emit_json(value: Any) -> None:
    """Print ``value`` (JSON types) indented."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None, right: Iterable[str] = ()) -> None:
    """Print a table; columns named in ``right`` are aligned right. Cells are plain text, never markup."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column in columns:
        grid.add_column(column, justify="right" if column in set(right) else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    console().print(grid)


def say(text: str, style: str | None = None) -> None:
    """One line for people."""
    from rich.text import Text

    console().print(Text(text, style=style or ""))
