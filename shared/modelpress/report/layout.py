"""Where the steps of a pipeline stand in its picture: columns by dependency, one row for the main chain.

An edge to the next column is drawn directly; one that would pass other steps runs in a lane above the picture,
which all long edges of one source share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Needs = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Layout:
    """``places`` maps a node to (column, row); ``lanes`` a source with long edges to its lane, 0 the lowest."""

    places: Mapping[str, tuple[int, int]]
    lanes: Mapping[str, int]

    @property
    def columns(self) -> int:
        return 1 + max((c for c, _ in self.places.values()), default=-1)

    @property
    def rows(self) -> int:
        return 1 + max((r for _, r in self.places.values()), default=-1)

    def is_long(self, source: str, target: str) -> bool:
        """Whether the edge passes at least one column."""
        return self.places[target][0] - self.places[source][0] > 1


def arrange(needs: Needs, main: Sequence[str]) -> Layout:
    """Places for every node of an acyclic graph. ``needs`` lists what each node reads; ``main`` gets row 0."""
    column = _as_late_as_possible(needs, _earliest(needs))
    row = _rows(needs, column, main)
    places = {node: (column[node], row[node]) for node in needs}
    return Layout(places, _lanes(needs, column))


def _earliest(needs: Needs) -> dict[str, int]:
    column: dict[str, int] = {}

    def visit(node: str) -> int:
        if node not in column:
            column[node] = 1 + max((visit(n) for n in needs[node]), default=-1)
        return column[node]

    for node in needs:
        visit(node)
    return column


def _as_late_as_possible(needs: Needs, earliest: Mapping[str, int]) -> dict[str, int]:
    """Steps move next to their first reader and those without one to the end; what needs nothing stays."""
    column = dict(earliest)
    last = max(earliest.values(), default=0)
    for node in sorted(needs, key=lambda n: -earliest[n]):
        readers = (column[reader] for reader in needs if node in needs[reader])
        if needs[node]:
            column[node] = min(readers, default=last + 1) - 1
    return column


def _rows(needs: Needs, column: Mapping[str, int], main: Sequence[str]) -> dict[str, int]:
    row = dict.fromkeys(main, 0)
    taken = {(column[node], 0) for node in main}
    order = {node: i for i, node in enumerate(needs)}
    rest = [node for node in needs if node not in row]
    for node in sorted(rest, key=lambda n: (column[n], not _step_needs(needs, n), order[n])):
        wanted = [row[n] for n in _step_needs(needs, node) if n in row]
        first = 0 if not needs[node] or wanted else 1
        free = next(r for r in [*wanted, *range(first, len(needs) + 1)] if (column[node], r) not in taken)
        row[node] = free
        taken.add((column[node], free))
    return row


def _step_needs(needs: Needs, node: str) -> list[str]:
    """What it reads that is itself made by a step."""
    return [n for n in needs[node] if needs[n]]


def _lanes(needs: Needs, column: Mapping[str, int]) -> dict[str, int]:
    lanes: dict[str, int] = {}
    ends: list[int] = []
    for source in sorted(needs, key=lambda n: column[n]):
        far = [column[t] for t in needs if source in needs[t] and column[t] - column[source] > 1]
        if not far:
            continue
        lane = next((i for i, end in enumerate(ends) if end <= column[source]), len(ends))
        ends[lane : lane + 1] = [max(far)]
        lanes[source] = lane
    return lanes
