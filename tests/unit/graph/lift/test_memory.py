"""Changes in place: of a tensor, of views of it, before and after other views are read."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from modelpress.errors import ExportError
from tests.unit.graph.lift.lifting import assert_same, lifted, operators_of


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)


class AddsToAPart(_Net):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.a(x)
        y[:, :2] += self.b(x)[:, :2]
        y[:, 0] = 0
        y[:, 3] = x[:, 3]
        return y * 2


class ReadsOldViews(_Net):
    """Views made before a change show it, and one view's change shows in another."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y: Tensor = self.a(x)
        flat, turned, tail = y.view(-1), y.transpose(0, 1), y[1:]
        turned.mul_(2)
        flat.add_(1)
        tail.zero_()
        return flat, turned, y, tail


class ThroughSeveralViews(_Net):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.a(x) * 1
        turned = y.unsqueeze(1).permute(2, 0, 1)
        turned.add_(1)
        y.masked_fill_(y > 1, 0.5)
        y[x > 0] = 2.0
        y[0].fill_(3)
        return turned, y


class FillsABuffer(_Net):
    """Tensors made from nothing and then filled, floats and integers."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        out = torch.zeros(x.shape[0], 8)
        out[:, :4] = self.a(x)
        out[:, 4:].copy_(self.b(x))
        places = torch.arange(8) * 1
        doubled = places * 2
        places[2] = 5
        return out * places, doubled


class ChangesParts(_Net):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.a(x).detach()
        for part in y.split([1, 3], 1):
            part.mul_(2)
        z = y.clone()
        z.unbind(1)[1].add_(1)
        return y, z


class WiderOperand(_Net):
    """What is changed in place keeps its dtype, whatever comes in."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.a(x) + 0
        y.add_(self.b(x).double())
        mask = x > 0
        mask.logical_and_(x)
        return y, mask


class ReusesReluOutput(_Net):
    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.a(x), inplace=True)
        z: Tensor = y.flatten(1) + self.b(y)
        return z


@pytest.mark.parametrize(
    "net",
    [AddsToAPart(), ReadsOldViews(), ThroughSeveralViews(), FillsABuffer(), ChangesParts(), WiderOperand(),
     ReusesReluOutput()],
    ids=lambda net: type(net).__name__,
)  # fmt: skip
def test_changes_in_place_become_values(net: nn.Module) -> None:
    model = assert_same(net, torch.randn(3, 4))
    assert not any(name.partition(".")[2].partition(".")[0].endswith("_") for name in operators_of(model))


class ChangesItsInput(_Net):
    def forward(self, x: Tensor) -> Tensor:
        x.mul_(2)
        y: Tensor = self.a(x) + x
        return y


def test_a_changed_input_stays_as_the_caller_has_it() -> None:
    net, x = ChangesItsInput(), torch.randn(3, 4)
    given = x.clone()
    assert torch.equal(lifted(net, x.clone()).module(given), net(x.clone()))
    assert torch.equal(given, x)


class ChangesADiagonal(_Net):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.a(x)[:4] + 0
        y.diagonal().zero_()
        return y


def test_a_view_that_cannot_be_written_back_is_refused() -> None:
    with pytest.raises(ExportError, match=r"made by aten\.diagonal\.default is changed.*test_memory\.py.*clone"):
        lifted(ChangesADiagonal(), torch.randn(6, 4))


class CountsCalls(_Net):
    def __init__(self) -> None:
        super().__init__()
        self.calls = nn.Buffer(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls.add_(1)
        y: Tensor = self.a(x) * self.calls
        return y


def test_a_change_of_the_models_own_tensor_is_refused() -> None:
    with pytest.raises(ExportError, match=r"the model itself in evaluation \(calls\).*self\.training is True"):
        lifted(CountsCalls(), torch.randn(3, 4))
