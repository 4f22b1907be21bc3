"""What hangs on an axis, and what a removal would do, against removals that are done."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from modelpress.errors import InputError
from modelpress.graph.axes import Change, analyse, dry_run, hanging, remove
from modelpress.graph.costs import FIGURES, costs, totals
from tests.unit.graph.axes.nets import lifted, model
from tests.unit.graph.axes.test_attention import SelfAttention
from tests.unit.graph.axes.test_recurrent import Recurrent
from tests.unit.graph.axes.traced import traced

NETS = {
    "lenet": lambda: model("lenet"),
    "mobilenet_v2": lambda: model("mobilenet_v2"),
    "grouped": lambda: model("grouped"),
    "attention": lambda: model("attention"),
    "attention leaf": lambda: traced(SelfAttention(shared=2), ("batch", 7, 5)),
    "lstm": lambda: traced(Recurrent(nn.LSTM(4, 6, 2, batch_first=True, bidirectional=True), 6), ("batch", 3, 5)),
}


@pytest.mark.parametrize("name", NETS)
def test_a_dry_run_says_what_a_removal_does(name: str) -> None:
    source = NETS[name]()
    axes = analyse(source)
    keep = {axis.name: torch.arange(1, axis.size) for axis in axes.prunable()}
    planned, small = dry_run(source, axes, keep, batch=2), remove(source, axes, keep)
    assert planned.before == totals(costs(source, batch=2))
    assert planned.after == totals(costs(small, batch=2))
    shapes = {n: t.shape for n, t in [*small.module.named_parameters(), *small.module.named_buffers()]}
    assert planned.changes
    assert all(shapes[change.tensor][change.dim] == change.after for change in planned.changes)
    old = [*source.module.named_parameters(), *source.module.named_buffers()]
    assert len(planned.changes) == sum(a != b for n, t in old for a, b in zip(t.shape, shapes[n], strict=True))


@pytest.mark.parametrize("name", NETS)
def test_what_hangs_on_an_axis_goes_with_half_of_it(name: str) -> None:
    """Figures of axes that no tensor and no product has twice fall by half with half of the indices."""
    source = NETS[name]()
    axes = analyse(source)
    for found in hanging(source, axes, batch=2)[:6]:
        axis = found.axis
        once = len({where.parameter for where in axis.slices}) == len(axis.slices)
        if axis.size % 2 == 0 and once:
            plan = dry_run(source, axes, {axis.name: torch.arange(axis.size // 2)}, batch=2)
            for figure in ("parameters", "weight_bytes", "macs", "activation_bytes"):
                if (name, figure) != ("attention leaf", "activation_bytes"):  # where a view becomes a copy it grows
                    saved = getattr(plan.before, figure) - getattr(plan.after, figure)
                    assert getattr(found, figure) / 2 == pytest.approx(saved, abs=1), (axis.name, figure)


def test_layers_go_by_name() -> None:
    source = model("lenet")
    axes = analyse(source)
    first, second, *_ = hanging(source, axes)
    assert (first.axis.name, second.axis.name) == ("conv1.out", "conv2.out")
    assert [path for path in first.layers if " at " not in path] == ["conv1", "conv2"]
    assert [path for path in second.layers if " at " not in path] == ["conv2", "fc1"]
    assert first.parameters == 6 * 26 + 16 * 6 * 25
    assert second.parameters == 16 * 6 * 25 + 16 + 120 * 400
    assert first.macs == 28 * 28 * 6 * 25 + 10 * 10 * 16 * 6 * 25
    assert second.macs == 10 * 10 * 16 * 6 * 25 + 120 * 400
    assert second.weight_bytes == 4 * second.parameters


def test_an_axis_that_a_layer_has_twice_counts_each_weight_once() -> None:
    source = lifted(nn.Sequential(nn.Linear(3, 6), nn.Linear(6, 6)), 3)
    axes = analyse(source)
    assert [found.parameters for found in hanging(source, axes)] == [3 * 6 + 6 + 36]


def test_a_dry_run_changes_and_reads_nothing() -> None:
    source = model("lenet")
    axes = analyse(source)
    before = {name: tensor.clone() for name, tensor in source.module.state_dict().items()}
    plan = dry_run(source, axes, {"conv1.out": torch.tensor([0, 4])})
    assert plan.changes == (
        Change("conv1.weight", 0, 6, 2), Change("conv1.bias", 0, 6, 2), Change("conv2.weight", 1, 6, 2),
    )  # fmt: skip
    assert all(getattr(plan.after, figure) <= getattr(plan.before, figure) for figure in FIGURES)
    assert all(torch.equal(value, before[name]) for name, value in source.module.state_dict().items())
    with pytest.raises(InputError, match="nothing would be left"):
        dry_run(source, axes, {"conv1.out": torch.tensor([], dtype=torch.long)})
