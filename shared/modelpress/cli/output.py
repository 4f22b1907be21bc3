"""What commands print: tables and lines for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

PIPED_WIDTH = 160
COLUMN_GAP = 3
EDGES = 2
SHORTEST_CUT = 12


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
    """Text as it is, at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


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


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], right: Iterable[str] = (), cut: str | None = None
) -> None:
    """Print a table; columns named in ``right`` are aligned right. Cells are rich text or plain, never markup.

    Where the terminal is too narrow, the column ``cut`` ends with an ellipsis and all others stay whole; without one,
    cells are folded.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    cells = [[cell if isinstance(cell, Text) else Text(str(cell)) for cell in row] for row in rows]
    terminal = console()
    room = _room(columns, cells, cut, terminal.width) if cut else None
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in set(right) else "left"
        if cut:
            width = room if column == cut else None
            grid.add_column(column, justify=justify, overflow="ellipsis", no_wrap=True, max_width=width)
        else:
            grid.add_column(column, justify=justify, overflow="fold")
    for row in cells:
        grid.add_row(*row)
    terminal.print(grid)


def _room(columns: Sequence[str], rows: Sequence[Sequence[Text]], cut: str, width: int) -> int:
    """What the other columns leave to the one that is cut; never less than a word."""
    others = [i for i, column in enumerate(columns) if column != cut]
    taken = sum(max(len(columns[i]), *(row[i].cell_len for row in rows)) if rows else len(columns[i]) for i in others)
    return max(SHORTEST_CUT, width - taken - COLUMN_GAP * len(others) - EDGES)
