from collections.abc import Callable

import pytest
import torch
from torch import Tensor, fx, nn

from modelpress.constraints.fake_quantize import FakeQuantize
from modelpress.graph.export import export
from modelpress_quantizer.placement import grid_of, insert_grids, quantization_points


class Net(nn.Module):
    def __init__(self, forward: Callable[["Net", Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.head = nn.Linear(3, 2)
        self.drop = nn.Dropout(0.5)
        self.run = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


def graph(forward: Callable[[Net, Tensor], Tensor]) -> fx.GraphModule:
    return export(Net(forward).eval(), torch.randn(2, 3, 4, 4), check=False).module


def points(module: fx.GraphModule) -> list[str]:
    def name(node: fx.Node) -> str:
        return str(node.target) if isinstance(node.target, str) else node.target.__name__.split(".")[0]

    return [name(node) for node in quantization_points(module)]


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        (lambda m, x: m.b(torch.relu(m.a(x))), ["x", "relu", "b"]),
        (lambda m, x: m.b(nn.functional.gelu(m.a(x))), ["x", "a", "gelu", "b"]),
        (lambda m, x: torch.relu(m.a(x) + x), ["x", "a", "relu"]),
        (lambda m, x: m.b(x) + torch.relu(y := m.a(x)) + y, ["x", "b", "a", "relu", "add", "add"]),
        (lambda m, x: m.b(nn.functional.max_pool2d(torch.relu(m.a(x)), 2)), ["x", "relu", "b"]),
        (lambda m, x: m.head(m.drop(m.a(x).mean((2, 3)))), ["x", "a", "mean"]),
        (lambda m, x: m.b(torch.cat([m.a(x), x], 1)[:, :3]), ["x", "a", "cat", "slice", "b"]),
        (lambda m, x: 2 * x + 1, []),
        (lambda m, x: torch.tanh(m.head(x.mean((2, 3)))), ["x", "mean"]),
        (lambda m, x: torch.softmax(m.a(x) + x, 1), ["x", "a"]),
        (lambda m, x: torch.relu(m.head(x.mean((2, 3)))) @ x[0, 0, :2], ["x", "mean"]),
        (lambda m, x: torch.softmax(m.a(torch.cat([x, x], 1)[:, :3]), 1), ["x", "cat", "slice", "a"]),
    ],
)
def test_where_grids_go(forward: Callable[[Net, Tensor], Tensor], expected: list[str]) -> None:
    assert points(graph(forward)) == expected


def test_every_reader_reads_the_grid_and_names_stay_free() -> None:
    module = graph(lambda m, x: torch.relu(m.a(x) + x))
    module.add_submodule("grid_0", nn.Identity())
    grids = {node: FakeQuantize.of_range(-1, 1) for node in quantization_points(module)}
    insert_grids(module, grids)
    assert [str(n.target) for n in module.graph.nodes if n.op == "call_module"] == ["grid_1", "a", "grid_2", "grid_3"]
    layer = next(n for n in module.graph.nodes if n.target == "a")
    assert grid_of(module, layer.all_input_nodes[0]) is next(iter(grids.values()))
    assert grid_of(module, layer) is None
    readers = next(n for n in module.graph.nodes if n.op == "placeholder").users
    assert [str(r.target) for r in readers] == ["grid_1"]


def test_grids_pass_through_what_only_moves_values() -> None:
    module = graph(lambda m, x: m.head(nn.functional.max_pool2d(m.a(x), 4).flatten(1)))
    insert_grids(module, {node: FakeQuantize.of_range(-1, 1) for node in quantization_points(module)})
    layer = next(n for n in module.graph.nodes if n.target == "head")
    assert isinstance(grid_of(module, layer.all_input_nodes[0]), FakeQuantize)
