"""Sizes that the graph computes: integers keep their values, dimensions get what is right for them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import fx, nn

from modelpress.graph.axes import analyse, remove
from modelpress.graph.axes.sizes import TELLING_BATCH, TELLING_SIZES, telling_shapes
from modelpress.graph.model import Model, TensorSpec
from tests.unit.graph.axes.graphs import Graph, aten

Size = Callable[[Graph], Any]


def joined(size: Size, heads: int) -> Model:
    """[batch, 12] seen as [batch * heads, 12 / heads] and back, the first size computed by ``size``."""
    graph = Graph()
    y = graph.call(aten.view.default, graph.linear(graph.x, 12, "before"), [size(graph), 12 // heads])
    y = graph.call(aten.reshape.default, graph.call(aten.tanh.default, y), [graph.batch, 12])
    return graph.model(graph.linear(y, 3, "after"))


def written(model: Model) -> str:
    """The first size of the model's first view, as a formula."""
    view = next(node for node in model.module.graph.nodes if node.target is aten.view.default)
    return _formula(view.args[1][0])


def _formula(size: Any) -> str:
    signs = {operator.mul: "*", operator.floordiv: "//"}
    if not isinstance(size, fx.Node) or size.target not in signs:
        return "batch" if isinstance(size, fx.Node) else str(size)
    left, right = (_formula(argument) for argument in size.args)
    return f"{left} {signs[size.target]} {right}"


@pytest.mark.parametrize(
    ("size", "heads", "keep", "formula"),
    [
        (lambda g: g.call(operator.mul, g.batch, 3), 3, 2, "batch * 2"),
        (lambda g: g.call(operator.mul, g.batch, 3), 3, 1, "batch"),
        (lambda g: g.call(operator.mul, 6, g.batch), 6, 4, "batch * 4"),
        (lambda g: g.call(operator.floordiv, g.call(operator.mul, g.batch, 6), 2), 3, 2, "batch * 6 // 2 // 3 * 2"),
        (lambda g: -1, 3, 2, "-1"),
    ],
)
def test_a_computed_size_is_scaled(size: Size, heads: int, keep: int, formula: str) -> None:
    source = joined(size, heads)
    small = remove(source, analyse(source), {"before.out.0": torch.arange(keep)})
    assert written(small) == formula
    assert small.module(*small.examples(batch=5)).shape == (5, 3)


def test_a_size_read_off_what_shrinks_keeps_its_value() -> None:
    """The graph divides by the number of rows, heads and batch together, which was 3 a sample."""
    graph = Graph()
    y = graph.call(aten.view.default, graph.linear(graph.x, 12, "before"), [-1, 4])
    rows = graph.call(aten.sym_size.int, y, 0)
    y = graph.call(aten.div.Tensor, y, rows)
    y = graph.call(aten.reshape.default, y, [graph.call(operator.floordiv, rows, 3), 12])
    source = graph.model(graph.linear(y, 3, "after"))
    small = remove(source, analyse(source), {"before.out.0": torch.tensor([0, 2])})
    x = source.examples(batch=5)[0]
    before, after = source.module.get_submodule("before"), small.module.get_submodule("after")
    stay = [0, 1, 2, 3, 8, 9, 10, 11]
    torch.testing.assert_close(small.module(x), after(before(x)[:, stay] / 15))


def test_integers_that_nothing_reads_any_more_go() -> None:
    source = joined(lambda g: g.call(operator.mul, g.batch, 3), 3)
    small = remove(source, analyse(source), {"before.out.0": torch.tensor([1])})
    assert not [node for node in small.module.graph.nodes if node.target is operator.mul]


def test_a_computed_concatenation_of_what_may_go_and_what_may_not_is_frozen() -> None:
    graph = Graph()
    y = graph.call(aten.view.default, graph.linear(graph.x, 12, "before"), [-1, 4])
    y = graph.call(aten.cat.default, [y, graph.x], 0)
    y = graph.call(aten.view.default, y, [graph.call(operator.mul, graph.batch, 4), 2, 2])
    total = graph.call(aten.sum.dim_IntList, graph.call(aten.flatten.using_ints, y, 1, 2), [0])
    source = graph.model(graph.linear(total, 3, "after"))
    assert analyse(source).frozen()["before.out.0"] == "size computed in the graph, view at view_default_1"


def test_new_rows_of_a_computed_number_beside_learned_ones_are_frozen() -> None:
    graph = Graph()
    table = graph.call(aten.new_zeros.default, graph.x, [graph.batch, 4])
    table = graph.call(aten.cat.default, [table, graph.tensor(nn.Parameter(torch.randn(3, 4)))], 0)
    rows = graph.call(operator.add, graph.batch, 3)
    table = graph.call(aten.expand.default, graph.call(aten.unsqueeze.default, table, 0), [2, rows, 4])
    y = graph.call(aten.matmul.default, graph.linear(graph.x, 4, "before"), graph.call(aten.transpose.int, table, 1, 2))
    source = graph.model(graph.linear(graph.call(aten.sum.dim_IntList, y, [1, 2], True), 3, "after"))
    axes = analyse(source)
    (rows_frozen,) = (why for name, why in axes.frozen().items() if name.startswith("tensor") and name.endswith(".0"))
    assert rows_frozen == "size computed in the graph, expand at expand_default"
    assert [axis.size for axis in axes.prunable()] == [4], "their columns stay free"


def positions(rows: int) -> Model:
    """A length that may not pass the ``rows`` of a table."""
    graph, root = fx.Graph(), nn.Module()
    root.register_buffer("table", torch.zeros(rows, 4))
    x = graph.placeholder("x")
    length = graph.call_function(aten.sym_size.int, (x, 1))
    part = graph.call_function(aten.slice.Tensor, (graph.get_attr("table"), 0, 0, length))
    graph.output(graph.call_function(aten.add.Tensor, (x, part)))
    spec = TensorSpec("x", "float32", ("batch", "length", 4))
    return Model(fx.GraphModule(root, graph), (spec,), {"batch": 2, "length": 5})


@pytest.mark.parametrize(("rows", "length"), [(100, TELLING_SIZES[0]), (8, 5)])
def test_shapes_are_told_at_primes_where_the_graph_runs_there(rows: int, length: int) -> None:
    model = positions(rows)
    placeholder = next(iter(model.module.graph.nodes))
    assert telling_shapes(model)[placeholder] == (TELLING_BATCH, length, 4)
