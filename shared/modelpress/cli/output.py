"""What commands print: tables and lines for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PIPED_WIDTH = 160


def console() -> Console:
    """The terminal; piped output has a fixed width, so that it does not depend on where it runs."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)


def emit_json(value: Any) -> None:
    """Print ``value`` (JSON types) indented. NaN and infinity, which JSON has not, become null."""
    write(json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and value - value != 0 else value


def write(text: str) -> None:
    """Text as it is."""
    sys.stdout.write(text)


def complain(text: str) -> None:
    """A line on standard error."""
    sys.stderr.write(text + "\n")


def show(content: RenderableType) -> None:
    """Something that rich can draw."""
    console().print(content)


def say(text: str, style: str = "") -> None:
    """A line for people, whole even where it is longer than the terminal is wide."""
    from rich.text import Text

    console().print(Text(text, style=style), soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], right: Iterable[str] = ()) -> None:
    """Print a table; columns named in ``right`` are aligned right. Cells are rich text or plain, never markup."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        grid.add_column(column, justify="right" if column in set(right) else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    show(grid)
