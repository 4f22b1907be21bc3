"""A whole x-ray of a small network: nothing left out in silence."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from modelpress.catalogue import load_catalogue
from modelpress.errors import InputError
from modelpress.graph.export import export
from modelpress.xray import memory, take
from modelpress.xray.advice import Subject
from modelpress.xray.budget import Clock, affordable
from modelpress.xray.candidates import WAYS
from modelpress.xray.findings import XRay
from modelpress.xray.take import Options
from tests.unit.xray.nets import ConvNet, conv_net

SUBJECT = Subject("net", "m:f", "net", (), False, (3, 16, 16), True)
PARAMETERS = sum(parameter.numel() for parameter in ConvNet().parameters())


def ticking(step_s: float) -> Clock:
    """A clock that goes by itself: every look costs ``step_s``."""
    ticks: Iterator[float] = (step_s * n for n in range(10**9))
    return Clock(60.0, 0.0, lambda: next(ticks))


def xray_by(clock: Clock, batches: tuple[int, ...] = (1, 4)) -> XRay:
    return take.take(conv_net(), SUBJECT, Options(batches, 1, 60.0), load_catalogue(), clock, lambda text: None)


@pytest.fixture(scope="module")
def found() -> XRay:
    return xray_by(ticking(4.0))  # each build takes some of its looks, and measuring is left with little


def test_every_way_was_measured_or_is_named(found: XRay) -> None:
    named = {s.name for s in found.skipped}
    built = {c.name for c in found.candidates}
    assert built.isdisjoint(named)
    assert {way.name for way in WAYS} == built | {name for name in named if " at batch " not in name}
    assert named
    for candidate in found.candidates:
        for batch in found.batches:
            assert candidate.at(batch) or f"{candidate.name} at batch {batch}" in named
    assert all("--budget-s" in s.why for s in found.skipped)


def test_the_dense_model_is_first_and_its_own_measure(found: XRay) -> None:
    dense = found.candidates[0]
    assert (dense.name, dense.size_ratio) == ("dense", 1.0)
    assert all((one.ratio_low, one.ratio, one.ratio_high) == (1, 1, 1) for one in dense.latencies)


def test_layers_have_costs_and_times(found: XRay) -> None:
    rows = {layer.path: layer for layer in found.layers}
    assert [path for path in rows if "." in path or path in ("up", "head")][:4] == [
        "body.0",
        "body.1",
        "body.3",
        "body.4",
    ]
    assert rows["body.0"].macs == 16 * 16 // 4 * 32 * 27
    assert rows["body.0"].dense_us is not None
    assert rows["body.1"].dense_us is None  # folded
    assert found.axes
    assert found.prunable_share > 0.9
    assert found.prunable_share + sum(f.whole for f in found.frozen) / PARAMETERS == pytest.approx(1)
    assert [(f.name, f.why) for f in found.frozen] == [("body.0.in", "input"), ("head.out", "output")]
    assert [f.line.partition(":")[0] for f in found.frozen] == ["nets.py", "nets.py"]
    assert found.next_command.startswith("modelpress push model m:f --name net")


def test_a_budget_that_holds_nothing_still_measures_int8() -> None:
    found = xray_by(ticking(100.0))
    assert [c.name for c in found.candidates] == ["dense", "int8"]
    assert found.batches == (1,)
    assert "batch 4 was not measured" in found.warnings[0]
    assert len(found.skipped) == len(WAYS) - 2


@pytest.mark.parametrize(
    "options", [{"batches": (0,)}, {"batches": ()}, {"threads": 0}, {"threads": 1025}, {"budget_s": 0.0}]
)
def test_options_that_cannot_be(options: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"--batch|--threads|--budget-s"):
        Options(**options)  # type: ignore[arg-type]


class Sorts(nn.Module):
    """What is sorted cannot be pruned."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Linear(6, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.narrow(self.wide(x).sort(1).values)
        return y


def test_a_model_whose_every_axis_is_frozen_is_refused_before_anything_is_built() -> None:
    said: list[str] = []
    model = export(Sorts(), torch.randn(2, 6), check=False)
    with pytest.raises(InputError, match=r"every axis is frozen, by .*sorted by sort \(test_take\.py:\d+: .*run int8"):
        take.take(model, SUBJECT, Options((1,), 1, 60.0), load_catalogue(), Clock.start(60.0), said.append)
    assert not [text for text in said if text.startswith("building")]


def test_batches_are_sorted_and_each_once() -> None:
    assert Options((64, 1, 64)).batches == (1, 64)


def test_what_is_affordable_goes_by_order() -> None:
    calls_s = {"dense": 1.0, "int8": 0.5, "half": 0.5}
    assert affordable(calls_s, 100.0) == ["dense", "int8", "half"]
    assert affordable(calls_s, 9.0) == ["dense", "int8"]
    assert affordable(calls_s, 1.0) == []


def test_memory_is_told_before() -> None:
    memory.check_weights(1000, None)
    with pytest.raises(InputError, match=r"weights of 1\.00 GB take about 8\.00 GB .* 2\.00 GB are free"):
        memory.check_weights(10**9, 2 * 10**9)
    model = conv_net()
    small, large = (int(memory.COPIES_OF_ACTIVATIONS * memory.peak_bytes(model, batch)) for batch in (1, 64))
    assert large == 64 * small
    assert memory.fitting_batches(model, (1, 64), 0, large) == ((1, 64), [])
    fit, told = memory.fitting_batches(model, (1, 64), 0, large - 1)
    assert fit == (1,)
    assert "batch 64 is left out" in told[0]
    with pytest.raises(InputError, match="try a smaller --batch"):
        memory.fitting_batches(model, (1, 64), 0, small - 1)


def test_the_peak_frees_what_nobody_reads() -> None:
    # [1, 32, 8, 8] before and after a norm or convolution, or [1, 16, 16, 16] beside it: 8 KiB and 16 KiB.
    assert memory.peak_bytes(conv_net(), 1) == 2 * 16 * 16 * 16 * 4
