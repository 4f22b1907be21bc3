import torch
from torch import nn

from modelpress.training.layout import channels_last, lay_out


def test_only_four_dimensional_tensors_change_and_only_their_strides() -> None:
    images, volumes = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4, 4)
    assert channels_last(images).stride() == (48, 1, 12, 3)
    assert torch.equal(channels_last(images), images)
    assert channels_last(volumes) is volumes


def test_a_module_is_laid_out_and_back() -> None:
    module = nn.ModuleList([nn.Conv2d(3, 5, 3), nn.Conv3d(3, 5, 3), nn.Linear(4, 2)])
    values = [parameter.detach().clone() for parameter in module.parameters()]
    strides = [parameter.stride() for parameter in module.parameters()]
    lay_out(module, torch.channels_last)
    assert module.get_parameter("0.weight").stride() == (27, 1, 9, 3)
    assert module.get_parameter("1.weight").is_contiguous()
    lay_out(module, torch.contiguous_format)
    assert [parameter.stride() for parameter in module.parameters()] == strides
    assert all(torch.equal(now, then) for now, then in zip(module.parameters(), values, strict=True))
