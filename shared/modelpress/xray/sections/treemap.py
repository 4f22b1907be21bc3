"""Rectangles whose areas are as given numbers, each as square as can be.

Algorithm: Bruls, Huizing, van Wijk, "Squarified Treemaps", Data Visualization 2000, doi:10.1007/978-3-7091-6783-0_4.
Differs from the paper: nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Rectangle:
    left: float
    top: float
    width: float
    height: float


def squarify(areas: Sequence[float], width: float, height: float) -> list[Rectangle]:
    """A rectangle for each of ``areas`` (> 0, the largest first) that fill ``width`` times ``height`` together."""
    if not areas:
        return []
    scale = width * height / sum(areas)
    room = Rectangle(0.0, 0.0, width, height)
    placed: list[Rectangle] = []
    row: list[float] = []
    for area in (scale * a for a in areas):
        side = min(room.width, room.height)
        if row and _worst([*row, area], side) > _worst(row, side):
            made, room = _lay(row, room)
            placed += made
            row = []
        row.append(area)
    return placed + _lay(row, room)[0]


def _worst(row: Sequence[float], side: float) -> float:
    """The largest ratio of a rectangle's sides, when ``row`` is laid along ``side``."""
    thickness = sum(row) / side
    return max(max(thickness * thickness / area, area / (thickness * thickness)) for area in row)


def _lay(row: Sequence[float], room: Rectangle) -> tuple[list[Rectangle], Rectangle]:
    """``row`` along the shorter side of ``room``, and the room that is left."""
    placed = []
    if room.width >= room.height:
        thickness, at = sum(row) / room.height, room.top
        for area in row:
            placed.append(Rectangle(room.left, at, thickness, area / thickness))
            at += area / thickness
        return placed, Rectangle(room.left + thickness, room.top, max(1e-9, room.width - thickness), room.height)
    thickness, at = sum(row) / room.width, room.left
    for area in row:
        placed.append(Rectangle(at, room.top, area / thickness, thickness))
        at += area / thickness
    return placed, Rectangle(room.left, room.top + thickness, room.width, max(1e-9, room.height - thickness))
