"""What can be pruned, what hangs on it, and what must stay."""

from __future__ import annotations

from modelpress.graph.axes.axis import Axes
from modelpress.graph.axes.describe import hanging
from modelpress.graph.model import Model
from modelpress.xray.findings import AxisFinding, FrozenFinding


def axes_found(model: Model, axes: Axes) -> tuple[AxisFinding, ...]:
    """The axes that can shrink, in graph order."""
    return tuple(
        AxisFinding(h.axis.name, h.axis.size, h.layers, h.parameters, h.axis.inexact_because)
        for h in hanging(model, axes)
    )


def frozen_found(axes: Axes) -> tuple[FrozenFinding, ...]:
    """The axes that must stay, in graph order."""
    return tuple(FrozenFinding(name, why) for name, why in axes.frozen().items())
