import pytest
import torch
from torch import Tensor, fx, nn

from modelpress.constraints.fake_quantize import FakeQuantize
from modelpress.graph.export import export
from modelpress.graph.model import Model
from modelpress.graph.packages.lower import (
    GlobalAveragePool,
    drop_identity_pools,
    drop_saturated_activations,
    pool_globally,
)
from modelpress.graph.shapes import value_shapes


class Apply(nn.Module):
    """A function as a module, behind a convolution."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.conv, self.function = nn.Conv2d(1, 2, 3, padding=1), function

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.function(self.conv(x))  # type: ignore[operator]
        return y


def lifted(function: object) -> Model:
    return export(Apply(function).eval(), torch.randn(2, 1, 6, 6), check=False)


def calls(module: fx.GraphModule) -> list[str]:
    return [node.target.__name__.split(".")[0] for node in module.graph.nodes if node.op == "call_function"]


def with_grid(model: Model, grid: FakeQuantize) -> fx.GraphModule:
    graph = model.module.graph
    model.module.add_submodule("grid", grid)
    end = graph.output_node()
    with graph.inserting_before(end):
        end.replace_input_with(end.args[0], graph.call_module("grid", (end.args[0],)))  # type: ignore[arg-type]
    model.module.recompile()
    return model.module


@pytest.mark.parametrize(
    ("function", "grid", "left"),
    [
        (torch.relu, FakeQuantize.of_range(0, 3), []),
        (torch.relu, FakeQuantize.of_range(-1, 3), ["relu"]),
        (nn.functional.relu6, FakeQuantize.of_range(0, 6), []),
        (nn.functional.relu6, FakeQuantize.of_range(0, 4), []),
        (nn.functional.relu6, FakeQuantize.of_range(0, 9), ["hardtanh"]),
        (nn.functional.hardtanh, FakeQuantize.of_range(-0.5, 0.7), []),
        (nn.functional.hardtanh, FakeQuantize.of_range(-2, 2), ["hardtanh"]),
        (torch.tanh, FakeQuantize.of_range(0, 1), ["tanh"]),
    ],
)
def test_rectifiers_go_where_the_grid_does_their_work(function: object, grid: FakeQuantize, left: list[str]) -> None:
    module = with_grid(lifted(function), grid)
    x = 20 * torch.randn(50, 1, 6, 6)
    expected = module(x)
    drop_saturated_activations(module)
    module.recompile()
    assert calls(module) in (left, [name.replace("hardtanh", "relu6") for name in left])
    assert torch.equal(module(x), expected)


@pytest.mark.parametrize(
    ("function", "flatten"),
    [
        (lambda y: y.mean((2, 3)), True),
        (lambda y: y.mean((-1, -2), keepdim=True), False),
        (lambda y: nn.functional.adaptive_avg_pool2d(y, 1), False),
    ],
)
def test_means_over_images_become_global_pooling(function: object, flatten: bool) -> None:
    model = lifted(function)
    pool_globally(model.module, value_shapes(model))
    (pool,) = [leaf for _, leaf in model.leaves() if isinstance(leaf, GlobalAveragePool)]
    assert pool.flatten is flatten
    assert calls(model.module) == []


@pytest.mark.parametrize("function", [lambda y: y.mean((1, 3)), lambda y: y.mean(1), lambda y: y.flatten(2).mean(2)])
def test_other_means_stay(function: object) -> None:
    model = lifted(function)
    pool_globally(model.module, value_shapes(model))
    assert "mean" in calls(model.module)


def test_pooling_to_the_same_size_goes() -> None:
    model = lifted(lambda y: nn.functional.adaptive_avg_pool2d(nn.functional.adaptive_avg_pool2d(y, (6, 6)), (3, 3)))
    drop_identity_pools(model.module, value_shapes(model))
    assert calls(model.module) == ["adaptive_avg_pool2d"]
