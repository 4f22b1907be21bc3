"""The candidates of an x-ray as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from modelpress.cli import output

if TYPE_CHECKING:
    from modelpress.xray.findings import Candidate, Latency


def candidates_table(found: Sequence[Candidate]) -> None:
    """A line a candidate, the dense model first; a gain that the interval does not vouch for is none."""
    from modelpress.report import format as fmt

    batches = [one.batch for one in found[0].latencies]
    head = ["", "file", "smaller", *(title for b in batches for title in (f"batch {b}", "faster", "interval"))]
    rows = [
        [
            c.name,
            fmt.size(c.size_bytes),
            fmt.ratio(c.size_ratio),
            *(cell for batch in batches for cell in _cells(c.at(batch), is_reference=i == 0)),
        ]
        for i, c in enumerate(found)
    ]
    output.table(head, rows, right=head[1:])


def _cells(one: Latency | None, is_reference: bool) -> tuple[str, str, str]:
    from modelpress.report import format as fmt

    if one is None:
        return fmt.MISSING, "", ""
    if is_reference:
        return fmt.latency(one.median_ms), "", ""
    is_gain = not one.ratio_low <= 1 <= one.ratio_high
    return (
        fmt.latency(one.median_ms),
        fmt.ratio(one.ratio) if is_gain else "no gain",
        (f"{fmt.significant(one.ratio_low)} to {fmt.significant(one.ratio_high)}"),
    )
