import pytest
import torch
from torch import Tensor, nn

from modelpress.errors import DataError
from modelpress.graph.export import export
from modelpress_quantizer.observers import BINS, Histogram, choose_range, mse_range, observe, percentile_range


class Shift(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.relu(x) + x
        return y


def counted(values: Tensor) -> Histogram:
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    return Histogram(low, high, torch.histc(values, BINS, low, high).double())


def test_histograms_count_every_value_of_every_batch() -> None:
    module = export(Shift(), torch.randn(2, 4)).module
    relu = next(n for n in module.graph.nodes if n.op == "call_function")
    batches = [torch.tensor([[1.0, -1.0, 2.0, 0.0]]), torch.tensor([[4.0, -3.0, 3.0, 3.0]])]
    found = observe(module, [relu], batches)[relu]
    assert (found.low, found.high) == (0.0, 4.0)
    assert found.counts.sum() == 8
    assert found.counts[0] == 3  # the two negative values and the zero
    assert found.counts[-1] == 1


def test_values_that_are_not_finite_name_their_node() -> None:
    module = export(Shift(), torch.randn(2, 4)).module
    points = list(module.graph.nodes)
    with pytest.raises(DataError, match="'x' has values that are not finite"):
        observe(module, points, [torch.full((1, 4), float("inf"))])


def test_min_max_is_the_extremes() -> None:
    assert choose_range(counted(torch.tensor([-1.0, 5.0])), "min-max", 99.9) == (-1.0, 5.0)


def test_a_percentile_leaves_outliers_out() -> None:
    values = torch.cat([torch.linspace(0, 1, 10_000), torch.tensor([100.0])])
    low, high = percentile_range(counted(values), 99.9)
    assert low == 0.0
    assert high == pytest.approx(1.0, abs=100 / BINS)
    assert percentile_range(counted(values), 100.0) == (0.0, 100.0)


def test_the_mse_range_beats_the_extremes_on_heavy_tails() -> None:
    values = torch.randn(100_000, generator=torch.Generator().manual_seed(0)) ** 3
    histogram = counted(values)
    low, high = mse_range(histogram)
    assert histogram.low <= low < 0 < high < histogram.high

    def error(low: float, high: float) -> float:
        scale = (high - low) / 255
        zero_point = round(-low / scale)
        rounded = torch.fake_quantize_per_tensor_affine(values, scale, zero_point, 0, 255)
        return float(((rounded - values) ** 2).mean())

    assert error(low, high) < 0.9 * error(histogram.low, histogram.high)


def test_the_mse_range_of_even_values_is_about_the_extremes() -> None:
    low, high = mse_range(counted(torch.linspace(-1, 3, 10_001)))
    assert low == pytest.approx(-1.0, abs=0.05)
    assert high == pytest.approx(3.0, abs=0.1)


def test_a_value_that_never_changes_has_its_extremes() -> None:
    assert choose_range(counted(torch.zeros(10)), "mse", 99.9) == (0.0, 0.0)
