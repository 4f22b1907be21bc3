"""What can be pruned, what hangs on it, and what must stay."""

from __future__ import annotations

from collections.abc import Sequence

from modelpress.graph.axes.axis import Axes
from modelpress.graph.axes.describe import hanging
from modelpress.graph.axes.held import held
from modelpress.graph.model import Model
from modelpress.xray.findings import AxisFinding, FrozenFinding
from modelpress.xray.sections.frozen import reasons

MOST_REASONS = 4


def axes_found(model: Model, axes: Axes) -> tuple[AxisFinding, ...]:
    """The axes that can shrink, in graph order."""
    return tuple(
        AxisFinding(h.axis.name, h.axis.size, h.layers, h.parameters, h.axis.inexact_because)
        for h in hanging(model, axes)
    )


def frozen_found(model: Model, axes: Axes) -> tuple[FrozenFinding, ...]:
    """The axes that must stay, in graph order, and the parameters of single indices."""
    return tuple(FrozenFinding(h.name, h.why, h.line, h.parameters, h.whole) for h in held(model, axes))


def nothing_prunable(frozen: Sequence[FrozenFinding]) -> str:
    """Why there is nothing to x-ray, the weightiest reasons with their lines, and what can be had nevertheless."""
    found = reasons(frozen)
    told = [f"{r.why} ({r.line})" if r.line else r.why for r in found[:MOST_REASONS]]
    more = f"; and {len(found) - MOST_REASONS} more reasons" if len(found) > MOST_REASONS else ""
    return (
        f"nothing of the model can be pruned: every axis is frozen, by {'; by '.join(told)}{more}. "
        "The recipe 'int8' needs no axis: modelpress push the model and data, then modelpress run int8"
    )
