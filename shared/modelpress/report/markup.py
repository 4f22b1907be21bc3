"""HTML and SVG built from calls, so that everything is escaped unless it was made here."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

VOID: Final = frozenset({"meta", "br", "hr", "img", "col"})


class Markup(str):
    """Text that is valid markup already; only this module makes it from foreign text, by escaping."""

    __slots__ = ()


def text(value: object) -> Markup:
    """``value`` as markup: escaped, unless it is markup."""
    return value if isinstance(value, Markup) else Markup(escape(str(value)))


def join(*parts: object, separator: str = "") -> Markup:
    """Parts one after the other; None is left out."""
    return Markup(text(separator).join(text(p) for p in parts if p is not None))


def el(tag: str, *children: object, **attributes: object) -> Markup:
    """An element. ``class_`` becomes ``class``, ``stroke_width`` ``stroke-width``; None leaves an attribute out.

    >>> el("p", "1 < 2", class_="note")
    '<p class="note">1 &lt; 2</p>'
    """
    pairs = ((name.rstrip("_").replace("_", "-"), value) for name, value in attributes.items())
    head = "".join(f' {name}="{escape(str(value))}"' for name, value in pairs if value is not None)
    body = join(*children)
    if tag in VOID:
        return Markup(f"<{tag}{head}>")
    return Markup(f"<{tag}{head}>{body}</{tag}>")


def table(head: Sequence[object], rows: Sequence[Sequence[object]], class_: str | None = None) -> Markup:
    """A table in a box that scrolls sideways on a narrow screen. Cells that are ``td`` or ``th`` markup stay so."""
    top = el("tr", *(_cell(c, "th") for c in head))
    body = [el("tr", *(_cell(c, "td") for c in row)) for row in rows]
    return el("div", el("table", el("thead", top), el("tbody", *body), class_=class_), class_="scroll")


def _cell(content: object, tag: str) -> Markup:
    if isinstance(content, Markup) and content.startswith(("<td", "<th")):
        return content
    return el(tag, content)
