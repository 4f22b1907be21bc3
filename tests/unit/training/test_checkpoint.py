import pytest
import torch
from torch import nn

from modelpress.errors import ModelFormatError
from modelpress.training import checkpoint


def stepped() -> tuple[nn.Module, torch.optim.SGD]:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    module(torch.randn(4, 1, 5, 5)).square().sum().backward()
    optimizer.step()
    return module, optimizer


def test_restores_weights_statistics_momentum_and_random_state() -> None:
    module, optimizer = stepped()
    data = checkpoint.capture(module, optimizer, {"epochs": [1]})
    expected = torch.rand(3)
    other, other_optimizer = stepped()
    found = checkpoint.parse(data)
    checkpoint.restore(found, other, other_optimizer)
    assert found.facts == {"epochs": [1]}
    assert torch.equal(torch.rand(3), expected)
    for name, tensor in module.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name
    for mine, theirs in zip(module.parameters(), other.parameters(), strict=True):
        assert torch.equal(
            optimizer.state[mine][checkpoint.MOMENTUM], other_optimizer.state[theirs][checkpoint.MOMENTUM]
        )


def test_tied_parameters_are_stored_once() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    module[1].weight = module[0].weight
    data = checkpoint.capture(module, torch.optim.SGD(module.parameters(), lr=0.1), {})
    assert checkpoint.mismatch(checkpoint.parse(data), module) is None


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 64, b"\x02\x00\x00\x00\x00\x00\x00\x00{}"], ids=["empty", "noise", "no facts"]
)
def test_other_bytes_are_no_checkpoint(data: bytes) -> None:
    with pytest.raises(ModelFormatError, match="no training checkpoint"):
        checkpoint.parse(data)


def test_the_first_difference_is_named() -> None:
    module, optimizer = stepped()
    found = checkpoint.parse(checkpoint.capture(module, optimizer, {}))
    wider = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3))
    assert checkpoint.mismatch(found, wider) == "'0.bias' is (2,) in the checkpoint and (3,) in the model"
