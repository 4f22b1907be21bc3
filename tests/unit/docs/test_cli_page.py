"""docs/cli.md is what the commands say of themselves, and names no option that there is not."""

from __future__ import annotations

from docs.cli import PAGE, page


def test_the_page_is_drawn_from_the_commands() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m docs.cli writes it anew"
