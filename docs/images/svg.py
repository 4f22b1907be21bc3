"""Just enough SVG for the pictures of the docs: boxes, arrows and text on a white sheet.

The sheet is opaque, so that a picture reads alike on light and dark pages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

MONO = "DejaVu Sans Mono, Menlo, Consolas, monospace"
SANS = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif"
INK, QUIET, LINE = "#1f2933", "#5f6b7a", "#8795a6"


@dataclass(frozen=True)
class Colour:
    fill: str
    edge: str


GREY = Colour("#eef0f2", "#a3adb8")
WHITE = Colour("#ffffff", LINE)
LEAF = Colour("#fdf6dc", "#b7902a")
PALETTE = (
    Colour("#d6e6f9", "#2b6cb0"), Colour("#fde0c2", "#c2570c"), Colour("#d4f0d9", "#27804a"),
    Colour("#e7dbf8", "#6b3fb5"), Colour("#fbd9e2", "#b83263"), Colour("#cdeef0", "#15808a"),
)  # fmt: skip


def mono_width(words: str, size: float = 12) -> float:
    """Pixels that ``words`` take in a monospaced font of that size, at most; other letters are narrower."""
    return 0.62 * size * len(words)


@dataclass
class Sheet:
    """A picture in the making; coordinates are pixels from the upper left."""

    title: str
    parts: list[str] = field(default_factory=list)
    width: float = 0
    height: float = 0

    def box(self, x: float, y: float, w: float, h: float, colour: Colour, radius: float = 4, dash: str = "") -> None:
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="{radius:g}" fill="{colour.fill}" '
            f'stroke="{colour.edge}"{dashed}/>'
        )
        self._reach(x + w, y + h)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: float = 12,
        mono: bool = False,
        anchor: str = "start",
        colour: str = INK,
        bold: bool = False,
    ) -> None:
        """``y`` is the baseline; ``anchor`` is ``start``, ``middle`` or ``end``."""
        weight = ' font-weight="bold"' if bold else ""
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" font-family="{MONO if mono else SANS}" '
            f'text-anchor="{anchor}" fill="{colour}" xml:space="preserve"{weight}>{escape(words)}</text>'
        )
        share = {"start": 1.0, "middle": 0.5, "end": 0.0}[anchor]
        self._reach(x + share * mono_width(words, size), y + 4)

    def path(self, d: str, arrow: bool = True, colour: str = LINE, dash: str = "") -> None:
        """A line of SVG path data, with an arrow head at its end unless told otherwise."""
        head = ' marker-end="url(#head)"' if arrow else ""
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<path d="{d}" fill="none" stroke="{colour}" stroke-width="1.5"{dashed}{head}/>')

    def chip(self, x: float, y: float, words: str, colour: Colour) -> float:
        """A small box around mono text, 20 high; returns its width."""
        width = mono_width(words) + 10
        self.box(x, y, width, 20, colour)
        self.text(x + width / 2, y + 14.5, words, mono=True, anchor="middle")
        return width

    def render(self) -> str:
        """The file's text."""
        w, h = round(self.width) + 20, round(self.height) + 16
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img">\n'
            f"<title>{escape(self.title)}</title>\n"
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            f'orient="auto"><path d="M0 0.5 L7.5 4 L0 7.5 z" fill="{LINE}"/></marker></defs>\n'
            f'<rect x="0.5" y="0.5" width="{w - 1}" height="{h - 1}" rx="8" fill="#ffffff" stroke="#d5dae0"/>\n'
        )
        return head + "\n".join(self.parts) + "\n</svg>\n"

    def _reach(self, x: float, y: float) -> None:
        self.width, self.height = max(self.width, x), max(self.height, y)
