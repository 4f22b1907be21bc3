import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.utils import parametrize

from modelpress.graph.export import export
from modelpress.graph.model import Model
from modelpress.graph.shapes import fake_values, shapes_of, value_shapes


class Halves(nn.Module):
    """A convolution whose channels are split, and a weight that the graph itself reads."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
        self.gain = nn.Parameter(torch.ones(2, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.norm(self.conv(x)).chunk(2, 1)
        y: Tensor = left * self.gain + right
        return y


@pytest.fixture
def model() -> Model:
    return export(Halves().eval(), torch.randn(2, 1, 6, 6))


def test_shapes_are_those_of_a_run(model: Model) -> None:
    shapes = shapes_of(model)
    by_kind = {node.op: shapes[node] for node in shapes}
    assert by_kind["placeholder"] == (2, 1, 6, 6)
    assert by_kind["get_attr"] == (2, 1, 1)
    assert [(2, 2, 4, 4), (2, 2, 4, 4)] in shapes.values()
    (output,) = model.module.graph.output_node().all_input_nodes
    assert shapes[output] == tuple(model.module(*model.examples()).shape)


def test_by_name_are_the_nodes_of_one_tensor(model: Model) -> None:
    shapes = shapes_of(model)
    assert value_shapes(model) == {node.name: shape for node, shape in shapes.items() if isinstance(shape, tuple)}
    assert len(value_shapes(model)) < len(shapes)


def test_nothing_is_computed_or_changed(model: Model) -> None:
    model.module.train()
    before = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
    values = fake_values(model, batch=1)
    assert all(isinstance(value, FakeTensor) for value in values.values() if isinstance(value, Tensor))
    assert all(part.training for part in model.module.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.module.state_dict().items())


def test_a_batch_of_one_in_evaluation_whatever_the_mode() -> None:
    flat = export(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).eval(), torch.randn(2, 4))
    flat.module.train()
    assert {shape[0] for shape in value_shapes(flat).values()} == {2}
    assert [v.shape for v in fake_values(flat, batch=1).values() if isinstance(v, Tensor)][-1] == (1, 3)


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


def test_weights_under_a_constraint_read_by_a_leaf_and_by_the_graph(model: Model) -> None:
    plain = value_shapes(model)
    for owner, name in ((model.module.get_submodule("conv"), "weight"), (model.module, "gain")):
        parametrize.register_parametrization(owner, name, Doubled())
    assert value_shapes(model) == plain


def test_a_big_model_takes_no_memory() -> None:
    with torch.device("meta"):
        net = nn.Linear(2**20, 2**20)
    graph = torch.fx.Graph()
    x = graph.placeholder("x")
    graph.output(graph.call_module("fc", (x,)))
    module = torch.fx.GraphModule({"fc": net}, graph)
    model = export(nn.Linear(2, 2).eval(), torch.randn(2, 2)).with_(module=module)
    spec = model.inputs[0]
    wide = model.with_(inputs=(type(spec)("x", "float32", ("batch", 2**20)),))
    assert list(shapes_of(wide).values()) == [(2, 2**20), (2, 2**20), (2, 2**20)]
