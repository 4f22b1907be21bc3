"""What removing refuses, and what it leaves alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from modelpress.errors import InputError, NotFoundError
from modelpress.graph.axes import analyse, remove
from tests.unit.graph.axes.nets import model

FAULTS: dict[str, tuple[str, Tensor, str]] = {
    "unknown axis": ("conv2.ou", torch.tensor([0]), "no axis 'conv2.ou': did you mean 'conv2.out'"),
    "frozen axis": ("fc3.out", torch.tensor([0]), "'fc3.out' cannot change: frozen by output"),
    "nothing left": ("conv2.out", torch.tensor([], dtype=torch.long), "keep at least one of its 16 indices"),
    "above": ("conv2.out", torch.tensor([3, 16]), "reach from 3 to 16, not within 0 and 15"),
    "below": ("conv2.out", torch.tensor([-1, 3]), "reach from -1 to 3"),
    "twice": ("conv2.out", torch.tensor([3, 5, 3]), "named twice"),
    "floats": ("conv2.out", torch.tensor([3.0]), "float32"),
    "two dimensions": ("conv2.out", torch.tensor([[3]]), r"int64 \[1, 1\]"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_choice_is_refused(fault: str) -> None:
    axis, indices, message = FAULTS[fault]
    with pytest.raises(InputError, match=message):
        remove(model("lenet"), analyse(model("lenet")), {axis: indices})


def test_an_unknown_axis_is_not_found() -> None:
    with pytest.raises(NotFoundError):
        analyse(model("lenet")).axis("nothing")


def test_axes_of_another_model_are_refused() -> None:
    axes = analyse(model("lenet"))
    small = remove(model("lenet"), axes, {"conv2.out": torch.arange(4)})
    with pytest.raises(InputError, match=r"another model's: 'conv2\.weight'"):
        remove(small, axes, {"conv2.out": torch.arange(4)})


def test_the_order_of_what_stays_is_the_models() -> None:
    source = model("lenet")
    small = remove(source, analyse(source), {"conv1.out": torch.tensor([4, 1])})
    left, all_ = small.module.get_parameter("conv1.weight"), source.module.get_parameter("conv1.weight")
    assert torch.equal(left, all_[[1, 4]])


def test_keeping_all_gives_the_same_model_on_tensors_of_its_own() -> None:
    source = model("lenet")
    same = remove(source, analyse(source), {})
    before, after = dict(source.module.named_parameters()), dict(same.module.named_parameters())
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not {p.data_ptr() for p in before.values()} & {p.data_ptr() for p in after.values()}
    assert str(source.module.graph) == str(same.module.graph)
