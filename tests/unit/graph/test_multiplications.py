"""Rules against torch's own counter on random values, recurrent layers and attention by hand."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from modelpress.graph import operators
from modelpress.graph.behaviour import Attention
from modelpress.graph.multiplications import LEAVES, OPERATORS, einsum_macs, leaf_macs, operator_macs
from modelpress.testing.costs import counted_macs

aten = torch.ops.aten
Shape = tuple[int, ...]


def of_operator(target: Any, tensors: Sequence[Tensor], arguments: Sequence[Any]) -> int:
    """By the rule, of a graph with one call; ``...`` in ``arguments`` stands for the next tensor."""
    graph = fx.Graph()
    inputs = [graph.placeholder(f"x{i}") for i in range(len(tensors))]
    queue = iter(inputs)

    def filled(a: Any) -> Any:
        return [filled(x) for x in a] if isinstance(a, list) else next(queue) if a is ... else a

    node = graph.call_function(target, tuple(filled(a) for a in arguments))
    values = dict(zip(inputs, tensors, strict=True))
    values[node] = target(*fx.map_arg(node.args, values.__getitem__))
    return operator_macs(node, values)


OPERATOR_CASES: list[tuple[Any, tuple[Shape, ...], tuple[Any, ...]]] = [
    (aten.conv1d.default, ((2, 6, 11), (4, 3, 3)), (..., ..., None, [2], [1], [1], 2)),
    (aten.conv1d.padding, ((2, 6, 11), (4, 6, 4)), (..., ..., None, [1], "same")),
    (aten.conv2d.default, ((2, 6, 9, 8), (8, 6, 3, 5), (8,)), (..., ..., ..., [2, 1], [1, 2], [2, 1])),
    (aten.conv2d.default, ((2, 6, 9, 8), (6, 1, 3, 3)), (..., ..., None, [1], [1], [1], 6)),
    (aten.conv2d.padding, ((2, 6, 9, 8), (8, 6, 3, 3)), (..., ..., None, [1], "valid")),
    (aten.conv3d.default, ((2, 4, 5, 6, 7), (6, 2, 3, 3, 1)), (..., ..., None, [1], [0], [1], 2)),
    (aten.conv3d.padding, ((2, 4, 5, 6, 7), (6, 4, 3, 3, 1)), (..., ..., None, [1], "same")),
    (aten.conv_transpose1d.default, ((2, 6, 11), (6, 2, 3)), (..., ..., None, [2], [1], [1], 2)),
    (aten.conv_transpose2d.input, ((2, 6, 5, 4), (6, 3, 4, 2), (3,)), (..., ..., ..., [2, 3], [1, 0], [1, 0])),
    (aten.conv_transpose3d.input, ((2, 4, 3, 4, 5), (4, 3, 2, 2, 2)), (..., ..., None, [2])),
    (aten.linear.default, ((2, 3, 5), (7, 5), (7,)), (..., ..., ...)),
    (aten.matmul.default, ((2, 3, 4, 5), (3, 5, 6)), (..., ...)),
    (aten.matmul.default, ((5,), (2, 5, 6)), (..., ...)),
    (aten.matmul.default, ((4, 5), (5, 6)), (..., ...)),
    (aten.mm.default, ((4, 5), (5, 6)), (..., ...)),
    (aten.bmm.default, ((3, 4, 5), (3, 5, 6)), (..., ...)),
    (aten.addmm.default, ((6,), (4, 5), (5, 6)), (..., ..., ...)),
    (aten.baddbmm.default, ((3, 4, 6), (3, 4, 5), (3, 5, 6)), (..., ..., ...)),
    (aten.einsum.default, ((2, 3, 4), (2, 4, 5)), ("bij,bjk->bik", [..., ...])),
]


@pytest.mark.parametrize(("target", "shapes", "arguments"), OPERATOR_CASES)
def test_operators_as_torch_counts_them(target: Any, shapes: tuple[Shape, ...], arguments: tuple[Any, ...]) -> None:
    tensors = [torch.randn(shape) for shape in shapes]

    def call(*given: Tensor) -> Any:
        queue = iter(given)
        return target(*([next(queue) for _ in a] if isinstance(a, list) and ... in a else next(queue) if a is ... else a
                        for a in arguments))  # fmt: skip

    ours = of_operator(target, tensors, arguments)
    assert ours == counted_macs(call, *tensors)
    assert ours > 0


BY_HAND: list[tuple[Any, tuple[Shape, ...], int]] = [
    (aten.matmul.default, ((2, 4, 5), (5,)), 8 * 5),
    (aten.mv.default, ((4, 5), (5,)), 4 * 5),
    (aten.dot.default, ((5,), (5,)), 5),
    (aten.bilinear.default, ((3, 4), (3, 5), (6, 4, 5)), 3 * 6 * 4 * 5),
]
"""Where torch's counter has no formula."""


@pytest.mark.parametrize(("target", "shapes", "macs"), BY_HAND)
def test_operators_by_hand(target: Any, shapes: tuple[Shape, ...], macs: int) -> None:
    tensors = [torch.randn(shape) for shape in shapes]
    assert of_operator(target, tensors, [...] * len(shapes)) == macs
    assert counted_macs(target, *tensors) != macs


def test_every_rule_is_of_an_operator_that_graphs_may_call() -> None:
    assert set(OPERATORS) <= set(operators.names())
    assert set(OPERATORS) == {target for target, _, _ in (*OPERATOR_CASES, *BY_HAND)}


@pytest.mark.parametrize("target", [aten.relu.default, aten.exp.default, aten.sum.default])
def test_what_multiplies_nothing_counts_nothing(target: Any) -> None:
    assert of_operator(target, [torch.randn(3, 4)], (...,)) == 0


EQUATIONS: list[tuple[str, tuple[Shape, ...]]] = [
    ("ij,jk->ik", ((2, 3), (3, 4))),
    ("ij,jk", ((2, 3), (3, 4))),
    ("bhid, bhjd -> bhij", ((2, 3, 4, 5), (2, 3, 6, 5))),
    ("...ij,...jk->...ik", ((2, 7, 3, 4), (7, 4, 5))),
    ("nctkv,kvw->nctw", ((2, 3, 4, 2, 5), (2, 5, 6))),
    ("ijk,il->j", ((2, 3, 4), (2, 5))),
    ("i,j->ij", ((3,), (4,))),
    ("ij,ij->ij", ((3, 4), (3, 4))),
    ("ij,ij->", ((3, 4), (3, 4))),
    ("ij->j", ((3, 4),)),
    ("ii->i", ((3, 3),)),
    ("ij,jk,kl->il", ((2, 3), (3, 4), (4, 5))),
    ("ij,kl,jk->il", ((2, 3), (4, 5), (3, 4))),
    ("bij,bjk->bik", ((1, 3, 4), (2, 4, 5))),
    ("ij,jk->ik", ((2, 1), (3, 4))),
]


@pytest.mark.parametrize(("equation", "shapes"), EQUATIONS)
def test_einsum_as_torch_counts_it(equation: str, shapes: tuple[Shape, ...]) -> None:
    tensors = [torch.randn(shape) for shape in shapes]
    assert einsum_macs(equation, shapes) == counted_macs(aten.einsum, equation, tensors)


def test_einsum_in_the_order_of_a_path() -> None:
    shapes = ((2, 30), (30, 4), (4, 5))
    tensors = [torch.randn(shape) for shape in shapes]
    path = [1, 2, 0, 1]
    assert einsum_macs("ij,jk,kl->il", shapes, path) == 30 * 4 * 5 + 2 * 30 * 5
    assert counted_macs(aten.einsum, "ij,jk,kl->il", tensors, path=path) == 30 * 4 * 5 + 2 * 30 * 5


RECURRENT = [
    (nn.RNN(5, 7), 1 * 7 * (5 + 7)),
    (nn.GRU(5, 7), 3 * 7 * (5 + 7)),
    (nn.LSTM(5, 7, bias=False), 4 * 7 * (5 + 7)),
    (nn.LSTM(5, 7, num_layers=2), 4 * 7 * (5 + 7) + 4 * 7 * (7 + 7)),
    (nn.GRU(5, 7, num_layers=2, bidirectional=True), 2 * 3 * 7 * (5 + 7) + 2 * 3 * 7 * (14 + 7)),
    (nn.LSTM(5, 7, proj_size=3), 4 * 7 * (5 + 3) + 3 * 7),
    (nn.LSTM(5, 7, 2, bidirectional=True, proj_size=3), 2 * (4 * 7 * (5 + 3) + 21) + 2 * (4 * 7 * (6 + 3) + 21)),
]


@pytest.mark.parametrize(("leaf", "a_step"), RECURRENT, ids=lambda v: type(v).__name__)
def test_recurrent_layers_by_hand(leaf: nn.RNNBase, a_step: int) -> None:
    """Gates times hidden times what comes in and the state, a layer and direction; 2 samples of 11 steps."""
    for batch_first, shape in ((False, (11, 2, 5)), (True, (2, 11, 5))):
        leaf.batch_first = batch_first
        assert leaf_macs(leaf, [torch.randn(shape)], None) == 22 * a_step


@pytest.mark.parametrize(("leaf", "a_step"), RECURRENT, ids=lambda v: type(v).__name__)
def test_recurrent_layers_as_torch_counts_them(leaf: nn.RNNBase, a_step: int) -> None:
    leaf.batch_first = True
    assert counted_macs(leaf, torch.randn(2, 11, 5)) == 22 * a_step


def test_recurrent_layers_multiply_each_matrix_once_a_step() -> None:
    for leaf, a_step in RECURRENT:
        assert a_step == sum(weight.numel() for weight in leaf.parameters() if weight.ndim == 2)


LEAF_CASES: list[tuple[nn.Module, tuple[Shape, ...]]] = [
    (nn.Conv1d(6, 4, 3, groups=2, padding="same"), ((2, 6, 11),)),
    (nn.Conv2d(6, 8, (3, 5), (2, 1), dilation=(1, 2)), ((2, 6, 9, 10),)),
    (nn.Conv3d(4, 6, 3), ((2, 4, 5, 6, 7),)),
    (nn.ConvTranspose1d(6, 4, 3, 2, groups=2), ((2, 6, 11),)),
    (nn.ConvTranspose2d(6, 3, (4, 2), 2, output_padding=1), ((2, 6, 5, 4),)),
    (nn.ConvTranspose3d(4, 3, 2, 2), ((2, 4, 3, 4, 5),)),
    (nn.Linear(5, 7), ((2, 3, 5),)),
    (Attention(0.5), ((2, 4, 6, 8), (2, 4, 7, 8), (2, 4, 7, 3))),
    (Attention(0.5, causal=True, grouped=True), ((2, 4, 6, 8), (2, 2, 6, 8), (2, 2, 6, 8))),
    (nn.LayerNorm(5), ((2, 5),)),
    (nn.BatchNorm2d(3), ((2, 3, 4, 4),)),
]


@pytest.mark.parametrize(("leaf", "shapes"), LEAF_CASES, ids=lambda v: type(v).__name__)
def test_leaves_as_torch_counts_them(leaf: nn.Module, shapes: tuple[Shape, ...]) -> None:
    inputs = [torch.randn(shape) for shape in shapes]
    assert leaf_macs(leaf.eval(), inputs, leaf(*inputs)) == counted_macs(leaf, *inputs)


def test_every_leaf_rule_has_a_case() -> None:
    kinds = [type(leaf) for leaf, _ in (*LEAF_CASES, *RECURRENT)]
    assert all(any(issubclass(kind, base) for kind in kinds) for base in LEAVES)


def test_an_embedding_is_a_look_up() -> None:
    leaf, tokens = nn.Embedding(10, 4), torch.tensor([[1, 2]])
    assert leaf_macs(leaf, [tokens], leaf(tokens)) == 0
