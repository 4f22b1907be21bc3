"""What is frozen: by what and where in the user's code, the reasons that keep most weights whole first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from modelpress.report import format as fmt
from modelpress.report.markup import Markup, el, table
from modelpress.xray.findings import FrozenFinding, XRay


@dataclass(frozen=True)
class Reason:
    """What holds ``axes``, and where. ``parameters`` are of the one with most; ``whole`` are those of all."""

    why: str
    line: str
    axes: tuple[str, ...]
    parameters: int
    whole: int


def reasons(frozen: Sequence[FrozenFinding]) -> list[Reason]:
    """One for each reason and line, by the weights that cannot shrink because of it, then by those along its axes."""
    groups: dict[tuple[str, str], list[FrozenFinding]] = {}
    for f in frozen:
        groups.setdefault((f.why, f.line), []).append(f)
    found = [
        Reason(*key, tuple(f.name for f in group), max(f.parameters for f in group), sum(f.whole for f in group))
        for key, group in groups.items()
    ]
    return sorted(found, key=lambda r: (-r.whole, -r.parameters, r.axes))


def frozen_table(xray: XRay) -> Markup | None:
    """A row a reason, with the axes that it freezes."""
    if not xray.frozen:
        return None
    numbers = (el("th", name, class_="number", scope="col") for name in ("kept whole", "along its largest axis"))
    head: list[object] = ["why", "where", *numbers, "frozen"]
    rows = [_row(r) for r in reasons(xray.frozen)]
    return el("div", el("div", table(head, rows, "reasons"), class_="tall"), class_="card")


def _row(r: Reason) -> list[object]:
    figures = (el("td", fmt.count(n), class_="number") for n in (r.whole, r.parameters))
    return [r.why, el("code", r.line) if r.line else fmt.MISSING, *figures, el("td", *_names(r.axes))]


def _names(names: Sequence[str]) -> Iterator[Markup]:
    for name in names:
        yield el("code", name)
        yield Markup(" ")
