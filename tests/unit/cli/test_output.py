"""Tables that fit a terminal, whole where they are piped; JSON that any reader takes."""

from __future__ import annotations

import io
import json
import math

import pytest
from rich.console import Console
from rich.text import Text

from modelpress.cli import output

VERDICT = "12.3× smaller, 3.2× faster at batch 64, top-1 93.88 % → 93.36 % (−0.52 points). All 2 gates passed."
RUN = "20261124-103106-908b"


def drawn(
    monkeypatch: pytest.MonkeyPatch, width: int, *, terminal: bool, cut: str = "verdict", fold: str = ""
) -> list[str]:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, color_system=None)
    monkeypatch.setattr(output, "console", lambda: console)
    output.table(["run", "status", "verdict"], [[RUN, "succeeded", VERDICT]], cut=cut, fold=fold)
    return [line.rstrip() for line in stream.getvalue().splitlines() if line.strip()]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_terminal_cuts_one_column_and_keeps_the_others_whole(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    lines = drawn(monkeypatch, width, terminal=True)
    assert len(lines) == 3, "a head, a rule, one line a row"
    assert max(map(len, lines)) <= width
    assert lines[-1].startswith(f" {RUN}   succeeded   12.3× smaller")
    assert lines[-1].endswith("…")


def test_a_wide_terminal_cuts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn(monkeypatch, 200, terminal=True)[-1].endswith("All 2 gates passed.")


def test_a_terminal_obeys_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr(output, "console", lambda: console)
    output.table(["name", "verdict"], [["\x1b[2J\x9b31m", Text("\x1b]0;title\x07")]])
    output.say("\x1b[2J")
    assert r"\x1b[2J\x9b31m" in stream.getvalue()
    assert r"\x1b]0;title" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_what_is_piped_is_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn(monkeypatch, 60, terminal=False)[-1].endswith("All 2 gates passed.")


def test_without_a_column_to_cut_cells_are_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = drawn(monkeypatch, 60, terminal=True, cut="")
    assert len(lines) > 3
    assert "…" not in "".join(lines)


def test_a_column_that_is_folded_leaves_the_others_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = drawn(monkeypatch, 60, terminal=True, cut="", fold="verdict")
    assert lines[2].startswith(f" {RUN}   succeeded   12.3×")
    assert "".join("".join(line.split()) for line in lines[2:]).endswith("All2gatespassed.")


@pytest.mark.parametrize("cut", ["verdict", ""])
def test_names_in_the_first_column_stay_whole_where_they_leave_half_the_width(
    monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    lines = drawn(monkeypatch, 40, terminal=True, cut=cut)
    assert max(map(len, lines)) <= 40
    assert sum(RUN in line for line in lines) == 1


def test_where_not_even_the_others_fit_every_cell_is_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = drawn(monkeypatch, 30, terminal=True)
    assert max(map(len, lines)) <= 30
    assert "…" not in "".join(lines)


@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_shown_fits_a_terminal_and_is_whole_where_it_is_piped(
    monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=40, force_terminal=terminal, color_system=None)
    monkeypatch.setattr(output, "console", lambda: console)
    output.show(Text(VERDICT))
    assert (stream.getvalue() == VERDICT + "\n") is not terminal


def test_an_empty_table_is_its_head(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["run", "verdict"], [], cut="verdict")
    assert capsys.readouterr().out.split()[:2] == ["run", "verdict"]


def test_json_has_neither_nan_nor_infinity(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit_json({"a": math.nan, "b": [math.inf, 1.5], "ä": "é"})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, 1.5], "ä": "é"}
