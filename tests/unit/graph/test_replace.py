"""A leaf becomes a chain of leaves everywhere that it is called."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from modelpress.errors import InputError, NotFoundError
from modelpress.graph.export import export
from modelpress.graph.replace import replace_by_chain
from modelpress.graph.serialise import load, save


class Twice(nn.Module):
    """One layer that is called twice, and another."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.shared(self.shared(x).relu()))
        return y


@pytest.fixture
def net() -> Twice:
    torch.manual_seed(0)
    return Twice().eval()


def _factors(layer: nn.Linear) -> list[nn.Module]:
    """The exact factors of a linear layer by its singular values."""
    u, s, v = torch.linalg.svd(layer.weight.detach())
    first, second = nn.Linear(6, 6, bias=False), nn.Linear(6, 6)
    first.weight.data, second.weight.data = (s[:, None] * v).contiguous(), u.contiguous()
    second.bias.data = layer.bias.detach().clone()
    return [first, second]


def test_exact_factors_change_no_output(net: Twice) -> None:
    model = export(net, torch.randn(2, 6))
    changed = replace_by_chain(model, "shared", _factors(net.shared))
    assert [path for path, _ in changed.leaves()] == ["shared_0", "shared_1", "head"]
    x = torch.randn(5, 6)
    torch.testing.assert_close(changed.module(x), net(x))


def test_the_model_is_left_alone_and_other_tensors_are_shared(net: Twice) -> None:
    model = export(net, torch.randn(2, 6))
    before = save(model)
    changed = replace_by_chain(model, "shared", _factors(net.shared))
    assert save(model) == before
    assert changed.module.get_parameter("head.weight") is model.module.get_parameter("head.weight")


def test_the_chain_is_saved_and_loaded(net: Twice) -> None:
    changed = replace_by_chain(export(net, torch.randn(2, 6)), "shared", _factors(net.shared))
    files = save(changed)
    x = torch.randn(3, 6)
    assert torch.equal(load(files.graph_json, files.tensors).module(x), changed.module(x))


@pytest.mark.parametrize(
    ("path", "chain", "error", "says"),
    [
        ("shard", [nn.Linear(6, 6)], NotFoundError, "shared"),
        ("shared", [], InputError, "at least one"),
        ("shared", [nn.Sequential(nn.Linear(6, 6))], InputError, "Sequential"),
        ("shared", [nn.Linear(5, 6)], InputError, "does not fit"),
        ("head", [nn.Linear(6, 4)], InputError, "not (2, 3)"),
    ],
)
def test_what_does_not_fit_is_refused(
    net: Twice, path: str, chain: list[nn.Module], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says.replace("(", r"\(").replace(")", r"\)")) as refused:
        replace_by_chain(export(net, torch.randn(2, 6)), path, chain)
    assert "\n" not in str(refused.value)
