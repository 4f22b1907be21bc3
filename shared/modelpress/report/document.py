"""The frame of every page: one HTML file that fetches nothing, light and dark, readable on a phone."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from modelpress.report.markup import Markup, el, table

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""No script, and no request to anywhere: the browser holds the page to it, whatever got into the page."""


def document(title: str, *content: Markup | None, css: str = "") -> str:
    """``content`` as a whole page in the family's look; ``css`` comes after the family's style sheet."""
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"{title} · modelpress"),
        el("style", Markup(style_sheet("modelpress.report", "report.css") + css)),
    )
    return "<!doctype html>\n" + el("html", head, el("body", el("main", *content)), lang="en") + "\n"


def style_sheet(package: str, name: str) -> str:
    """The text of a style sheet that ships with ``package``."""
    return (files(package) / name).read_text(encoding="utf-8")


def section(title: str, note: str, content: Markup) -> Markup:
    """A part of a page: heading, a sentence about it (or none), content."""
    return el("section", el("h2", title), el("p", note, class_="note") if note else None, content)


def facts_table(title: str, rows: list[list[object]]) -> Markup | None:
    """Names and values without a head; None where there are none."""
    return el("div", el("p", el("strong", title)), table([title, ""], rows, "facts")) if rows else None
