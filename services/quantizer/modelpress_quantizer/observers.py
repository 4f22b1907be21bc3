"""Ranges of activations, from what passes through the graph on calibration rows.

Two passes: the first finds the extremes, the second counts values in equal bins between them, so that memory does
not grow with the rows. From the counts an observer chooses the range that the grid covers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, fx

from modelpress.constraints.affine import affine_parameters
from modelpress.errors import DataError

ObserverName = Literal["min-max", "percentile", "mse"]
BINS = 2048
SHRINKS = 40
"""Candidates for each end of the range in `mse_range`."""
INFINITE = 1e30
"""Masks fill in the least float of some type; no activation is as large."""


@dataclass
class Histogram:
    """``counts`` [BINS] float64 of values in equal bins over ``[low, high]``, which contains zero."""

    low: float
    high: float
    counts: Tensor

    @property
    def centers(self) -> Tensor:
        """Middle of each bin, [BINS] float64."""
        edges = torch.linspace(self.low, self.high, BINS + 1, dtype=torch.float64)
        return (edges[1:] + edges[:-1]) / 2


def observe(
    graph_module: fx.GraphModule, points: Sequence[fx.Node], batches: Sequence[Tensor]
) -> dict[fx.Node, Histogram]:
    """Histogram of each of ``points`` that is a float tensor, over all ``batches`` [b, ...].

    Raises:
        DataError: an activation is not finite; names the node.
    """
    found: dict[fx.Node, Histogram] = {}

    def extremes(node: fx.Node, value: Tensor) -> None:
        low, high = (float(x) for x in torch.aminmax(value))
        if not (torch.isfinite(torch.tensor([low, high])).all()):
            raise DataError(f"calibration: '{node.name}' has values that are not finite")
        seen = found.setdefault(node, Histogram(0.0, 0.0, torch.zeros(BINS, dtype=torch.float64)))
        seen.low, seen.high = min(seen.low, low), max(seen.high, high)

    def count(node: fx.Node, value: Tensor) -> None:
        seen = found[node]
        if seen.high > seen.low:
            seen.counts += torch.histc(value.float(), BINS, seen.low, seen.high).double()

    for visit in (extremes, count):
        watcher = _Watcher(graph_module, set(points), visit)
        for batch in batches:
            watcher.run(batch)
    return found


def finite_extremes(
    graph_module: fx.GraphModule, points: Sequence[fx.Node], inputs: Sequence[Tensor]
) -> dict[fx.Node, tuple[float, float]]:
    """Least and largest value of each of ``points`` that is a float tensor, in one run on the model's ``inputs``.

    Left out are values that stand for infinity, as masks of attention have them: a grid over them is none.
    """
    found: dict[fx.Node, tuple[float, float]] = {}

    def visit(node: fx.Node, value: Tensor) -> None:
        low, high = (float(x) for x in torch.aminmax(value))
        if max(abs(low), abs(high)) < INFINITE:
            found[node] = low, high

    _Watcher(graph_module, set(points), visit).run(*inputs)
    return found


def choose_range(histogram: Histogram, observer: ObserverName, percentile: float) -> tuple[float, float]:
    """Low and high end of the range for an 8-bit grid."""
    if observer == "min-max" or histogram.high == histogram.low:
        return histogram.low, histogram.high
    if observer == "percentile":
        return percentile_range(histogram, percentile)
    return mse_range(histogram)


def percentile_range(histogram: Histogram, percentile: float) -> tuple[float, float]:
    """The range that leaves out ``100 - percentile`` per cent of the values on each side (never zero itself).

    Paper: Wu et al., "Integer Quantization for Deep Learning Inference", 2020, arXiv:2004.09602, section 3.3.
    """
    share = histogram.counts.cumsum(0) / histogram.counts.sum()
    edges = torch.linspace(histogram.low, histogram.high, BINS + 1, dtype=torch.float64)
    outside = 1 - percentile / 100
    low = edges[int(torch.searchsorted(share, torch.tensor(outside, dtype=torch.float64)))]
    high = edges[min(BINS, int(torch.searchsorted(share, torch.tensor(1 - outside, dtype=torch.float64))) + 1)]
    return min(float(low), 0.0), max(float(high), 0.0)


def mse_range(histogram: Histogram, quant_max: int = 255) -> tuple[float, float]:
    """The range whose grid 0..``quant_max`` has the least mean squared rounding and clipping error.

    Both ends are shrunk towards zero by `SHRINKS` factors each; an end that is zero stays.
    Paper: Nagel et al., "A White Paper on Neural Network Quantization", 2021, arXiv:2106.08295, section 3.1.
    """
    factors = torch.linspace(1.0, 0.2, SHRINKS, dtype=torch.float64)
    lows = histogram.low * (factors if histogram.low < 0 else factors[:1])
    highs = histogram.high * (factors if histogram.high > 0 else factors[:1])
    errors = torch.stack([_grid_errors(histogram, low, highs, quant_max) for low in lows])
    best_low, best_high = divmod(int(errors.argmin()), len(highs))
    return float(lows[best_low]), float(highs[best_high])


def _grid_errors(histogram: Histogram, low: Tensor, highs: Tensor, quant_max: int) -> Tensor:
    """Summed squared error of the grid over ``[low, high]`` for each of ``highs`` [h]; [h]."""
    scale, zero_point = affine_parameters(low.expand_as(highs), highs, 0, quant_max)
    scale, zero_point = scale.double()[:, None], zero_point[:, None]
    values = histogram.centers
    rounded = ((values / scale).round_() + zero_point).clamp_(0, quant_max).sub_(zero_point).mul_(scale)
    return rounded.sub_(values).square_() @ histogram.counts


class _Watcher(fx.Interpreter):
    """Runs a graph and shows ``visit`` the float values of the nodes asked for."""

    def __init__(self, graph_module: fx.GraphModule, points: set[fx.Node], visit: Any) -> None:
        super().__init__(graph_module)
        self.points = points
        self.visit = visit

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n in self.points and isinstance(value, Tensor) and value.is_floating_point():
            self.visit(n, value)
        return value


def calibration_batches(batches: Iterable[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """The inputs of ``batches``, kept: they are read twice."""
    return [inputs for inputs, _ in batches]
