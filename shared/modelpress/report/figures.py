"""The comparison as rows of text, for the page and the terminal alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelpress.report import format as fmt
from modelpress.report.evidence import Candidate, Role, change, drop_points


@dataclass(frozen=True)
class Figure:
    """One cell: the value, and its change from the original (empty for the original itself)."""

    value: str
    change: str = ""


@dataclass(frozen=True)
class Row:
    """One measure of every candidate."""

    name: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Measure:
    """``figure`` is the metric; ``ratio`` the metric of its change where that was measured in pairs."""

    name: str
    figure: str
    ratio: str
    show: Callable[[float | None], str]
    word: str


def measures(candidates: Sequence[Candidate]) -> list[Measure]:
    """What is compared beside accuracy: file size, latency at every batch size that was timed, parameters."""
    batches = sorted({batch for c in candidates for batch in c.batches})
    latencies = [
        Measure(f"Latency, batch {b}", f"latency_ms_b{b}", f"latency_ratio_b{b}", fmt.latency, "faster")
        for b in batches
    ]
    size = Measure("File size", "size_bytes", "size_ratio", fmt.size, "smaller")
    return [size, *latencies, Measure("Parameters", "parameters", "", fmt.count, "fewer")]


def rows(candidates: Sequence[Candidate]) -> list[Row]:
    """The comparison; measures that no candidate has are left out."""
    original = next((c for c in candidates if c.role is Role.ORIGINAL), None)
    found = [
        Row(m.name, tuple(_cell(m, original, c) for c in candidates))
        for m in measures(candidates)
        if _known(m.figure, candidates)
    ]
    if _known("top1", candidates):
        found.insert(0, Row("Top-1 accuracy", tuple(_accuracy(original, c) for c in candidates)))
    return found


def _known(figure: str, candidates: Sequence[Candidate]) -> bool:
    return any(c.get(figure) is not None for c in candidates)


def _accuracy(original: Candidate | None, candidate: Candidate) -> Figure:
    drop = drop_points(original, candidate) if original and candidate is not original else None
    return Figure(fmt.percent(candidate.get("top1")), "" if drop is None else fmt.points(drop))


def _cell(measure: Measure, original: Candidate | None, candidate: Candidate) -> Figure:
    times = (
        change(original, candidate, measure.figure, measure.ratio) if original and candidate is not original else None
    )
    return Figure(measure.show(candidate.get(measure.figure)), "" if times is None else fmt.times(times, measure.word))
