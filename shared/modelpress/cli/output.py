"""What commands print: tables and lines for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from modelpress.report.format import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

PIPED_WIDTH = 160
UNBOUNDED = 100_000
"""Wider than anything that is measured for its width."""

COLUMN_GAP = 3
EDGES = 2
NARROWEST = 12
"""Of a column that is cut or folded while the others stay whole."""


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
    sys.stderr.write(printable(text) + "\n")


def show(content: RenderableType) -> None:
    """Something that rich can draw; as wide as it needs where it is piped."""
    from rich.measure import Measurement

    terminal = console()
    if not terminal.is_terminal:
        needed = Measurement.get(terminal, terminal.options.update_width(UNBOUNDED), content).maximum
        terminal.width = max(terminal.width, needed)
    terminal.print(content)


def say(text: str, style: str = "") -> None:
    """A line for people, whole even where it is longer than the terminal is wide."""
    from rich.text import Text

    console().print(Text(printable(text), style=style), soft_wrap=True)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    right: Iterable[str] = (),
    cut: str = "",
    fold: str = "",
) -> None:
    """Print a table; columns named in ``right`` are aligned right. Cells are rich text or plain, never markup.

    Where a terminal is too narrow, the column ``cut`` ends with an ellipsis, or the column ``fold`` is folded, and all
    others stay whole; where not even these fit, or none is named, every cell is folded, but names in the first column
    stay whole where they leave half of the width. Piped output is never cut.
    """
    from rich import box
    from rich.table import Table

    cells = [[_cell(content) for content in row] for row in rows]
    terminal = console()
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in set(right) else "left"
        grid.add_column(column, justify=justify, overflow="fold")
    for row in cells:
        grid.add_row(*row)
    widths = _widths(columns, cells)
    grid.columns[0].no_wrap = widths[columns[0]] <= terminal.width // 2
    if cut or fold:
        _fit(grid, widths, terminal, cut, fold)
    terminal.print(grid)


def _cell(content: object) -> Text:
    from rich.text import Text

    text = content if isinstance(content, Text) else Text(str(content))
    text.plain = printable(text.plain)
    return text


def _widths(columns: Sequence[str], rows: Sequence[Sequence[Text]]) -> dict[str, int]:
    return {column: max(len(column), *(row[i].cell_len for row in rows), 0) for i, column in enumerate(columns)}


def _fit(grid: Table, widths: Mapping[str, int], terminal: Console, cut: str, fold: str) -> None:
    """Let one column have what the others leave of the terminal's width; where it is piped, all that it needs."""
    frame = COLUMN_GAP * (len(widths) - 1) + EDGES
    if not terminal.is_terminal:
        terminal.width = max(terminal.width, sum(widths.values()) + frame)
    room = terminal.width - frame - sum(width for column, width in widths.items() if column not in (cut, fold))
    if room < NARROWEST:
        return
    for column in grid.columns:
        column.no_wrap = column.header != fold
        if column.header in (cut, fold):
            column.max_width = room
        if column.header == cut:
            column.overflow = "ellipsis"
