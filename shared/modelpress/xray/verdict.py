"""What the findings come to: two sentences, and the width to go for. Pure functions of what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from modelpress.report import format as fmt
from modelpress.xray.findings import Candidate, Latency
from modelpress.xray.sections.gains import Gain, gain

WORTH = 1.1
"""A narrower width is worth its loss of accuracy where it is so many times as fast as the wider one."""
NAMES = {
    Fraction(3, 4): "three quarters of the width",
    Fraction(1, 2): "half the width",
    Fraction(1, 4): "a quarter of the width",
}
DEFAULT_WIDTH = 0.5
NOT_MEASURED = "Nothing but the original could be built and measured."


def verdict(candidates: Sequence[Candidate], batch: int) -> str:
    """Two sentences: int8 alone, and the width on top. Gains are those at ``batch``, for certain or not at all."""
    int8 = next((c for c in candidates if c.int8 and c.width == 1 and c.at(batch)), None)
    series = width_series(candidates, batch)
    if int8 is None and not series:
        return NOT_MEASURED
    first = _sentence("int8 alone", int8, batch) if int8 else "int8 could not be measured."
    return f"{first} {_widths(series, batch)}"


def width_series(candidates: Sequence[Candidate], batch: int) -> list[Candidate]:
    """From the full width to the narrowest, all with int8 or all without: whichever is faster at about half the width.

    Empty where no narrower one was measured.
    """
    measured = [c for c in candidates if c.at(batch)]
    narrow = [c for c in measured if c.width < 1]
    if not narrow:
        return []
    middle = min((c.width for c in narrow), key=lambda width: abs(width - DEFAULT_WIDTH))
    fastest = max((c for c in narrow if c.width == middle), key=lambda c: _at(c, batch).ratio)
    return sorted((c for c in measured if c.int8 is fastest.int8), key=lambda c: -c.width)


def suggested(series: Sequence[Candidate], batch: int) -> Candidate | None:
    """The width to try: half, or a wider one that nothing narrower is faster than; None where no width gains."""
    gaining = [c for c in series[1:] if _gains(c, series[0], batch)]
    if not gaining:
        return None
    knee = next(c for c in gaining if not _gained_below(c, series, batch))
    return max(knee, min(gaining, key=lambda c: abs(c.width - DEFAULT_WIDTH)), key=lambda c: c.width)


def _gains(narrow: Candidate, wide: Candidate, batch: int) -> bool:
    """Whether it is faster by `WORTH`, and by more than both intervals allow."""
    one, other = _at(narrow, batch), _at(wide, batch)
    return one.ratio > WORTH * other.ratio and one.ratio_low > other.ratio_high


def _gained_below(candidate: Candidate, series: Sequence[Candidate], batch: int) -> bool:
    return any(_gains(c, candidate, batch) for c in series if c.width < candidate.width)


def _widths(series: Sequence[Candidate], batch: int) -> str:
    if not series:
        return "Nothing narrower was built and measured."
    chosen, narrowest = suggested(series, batch), series[-1]
    if chosen is None:
        size = fmt.times(narrowest.size_ratio, "smaller")
        none = "On top of it no" if narrowest.int8 else "No"
        narrow = f"{_name(narrowest).lower()} is {size}"
        return f"{none} width that was tried is for certain faster by a tenth at batch {batch}; {narrow}."
    sentence = _sentence(f"{_name(chosen)}{' on top' if chosen.int8 else ''}", chosen, batch).removesuffix(".")
    if narrowest is chosen:
        return f"{sentence}; nothing narrower was measured."
    if not _gained_below(chosen, series, batch):
        return f"{sentence}; below that nothing more is gained at batch {batch}."
    return f"{sentence}; {_name(narrowest).lower()}: {_figures(narrowest, batch)}."


def _sentence(subject: str, candidate: Candidate, batch: int) -> str:
    return f"{subject}: {_figures(candidate, batch)}."


def _figures(candidate: Candidate, batch: int) -> str:
    """``3.4× faster and 4.0× smaller``; where the interval holds 1, no gain."""
    one = _at(candidate, batch)
    size = fmt.times(candidate.size_ratio, "smaller")
    size = "of the same size" if size == "unchanged" else size
    match gain(one):
        case Gain.NONE:
            return f"no gain at batch {one.batch} ({one.ratio_low:.2f} to {one.ratio_high:.2f}×), {size}"
        case Gain.SLOWER:
            return f"{fmt.times(one.ratio, 'faster')} at batch {one.batch}, {size}"
    return f"{fmt.times(one.ratio, 'faster')} and {size}"


def _name(candidate: Candidate) -> str:
    share = Fraction(candidate.width).limit_denominator(16)
    return NAMES.get(share, f"{share} of the width").capitalize()


def _at(candidate: Candidate, batch: int) -> Latency:
    found = candidate.at(batch)
    assert found is not None, f"{candidate.name} was not measured at batch {batch}"
    return found
