"""Operators whose weights the graph computes: they tie and lose what the leaves do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from modelpress.graph.axes import analyse, keep_count, remove
from tests.unit.graph.axes.oracle import check_each_axis, exactness
from tests.unit.graph.axes.traced import traced

aten = torch.ops.aten
Weights = nn.ParameterDict


class Computed(nn.Module):
    """Two linear layers around an operator that uses parameters named by their shapes."""

    def __init__(self, operator: Callable[[Tensor, Weights], Tensor], spatial: int, **shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.operator = operator
        kinds = {0: nn.Linear, 1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
        kernel = (1,) if spatial else ()
        self.stem, self.head = kinds[spatial](3, 8, *kernel), kinds[spatial](12, 3, *kernel)
        self.own = nn.ParameterDict({name: nn.Parameter(torch.empty(shape)) for name, shape in shapes.items()})

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.operator(self.stem(x), self.own))
        return out


def standardized(weight: Tensor) -> Any:
    """As weight-standardised convolutions do."""
    mean = aten.mean.dim(weight, [1, 2, 3], True)
    spread = aten.std.correction(weight, [1, 2, 3], correction=0, keepdim=True)
    return aten.div.Tensor(aten.sub.Tensor(weight, mean), aten.add.Tensor(spread, 1e-5))


def batch_norm_standardized(weight: Tensor) -> Any:
    """The same by a batch norm over a view of the weight."""
    rows = aten.reshape.default(weight, [1, 12, -1])
    normed = aten.batch_norm.default(rows, None, None, None, None, True, 0.0, 1e-5, False)
    return aten.reshape.default(normed, [12, 8, 3, 3])


def norm_to_one(weight: Tensor) -> Any:
    """As weight norm and cosine classifiers do: no count in it."""
    length = aten.linalg_vector_norm.default(weight, 2, [1], True)
    return aten.div.Tensor(weight, aten.add.Tensor(length, 1e-5))


Case = tuple[Callable[[Tensor, Weights], Tensor], int, dict[str, tuple[int, ...]], dict[str, tuple[int, str]]]
PLAIN = {"stem.out": (8, ""), "own.w.0": (12, "")}

CASES: dict[str, Case] = {
    "linear": (
        lambda x, p: aten.linear.default(x, aten.tanh.default(p["w"]), p["b"]), 0, {"w": (12, 8), "b": (12,)}, PLAIN,
    ),
    "linear by a transposed weight": (
        lambda x, p: aten.linear.default(x, aten.t.default(p["w"])), 0, {"w": (8, 12)},
        {"stem.out": (8, ""), "own.w.1": (12, "")},
    ),
    "concatenated weights": (
        lambda x, p: aten.linear.default(x, aten.cat.default([p["v"], p["w"]])), 0, {"v": (4, 8), "w": (8, 8)},
        {"stem.out": (8, ""), "own.v.0": (4, ""), "own.w.0": (8, "")},
    ),
    "weight norm": (
        lambda x, p: aten.linear.default(x, norm_to_one(p["w"])), 0, {"w": (12, 8)}, PLAIN,
    ),
    "weight norm, one operator": (
        lambda x, p: aten.linear.default(x, aten._weight_norm.default(p["w"], p["g"], 0)), 0,
        {"w": (12, 8), "g": (12, 1)}, {"stem.out": (8, ""), "own.w.0": (12, "_weight_norm")},
    ),
    "weight norm over the inputs": (
        lambda x, p: aten.linear.default(x, aten._weight_norm.default(p["w"], p["g"], 1)), 0,
        {"w": (12, 8), "g": (1, 8)}, {"stem.out": (8, "_weight_norm"), "own.w.0": (12, "")},
    ),
    "a bias of parts": (
        lambda x, p: aten.linear.default(x, p["w"], aten.cat.default([p["b"], p["c"], p["d"]])),
        0, {"w": (12, 8), "b": (4,), "c": (4,), "d": (4,)},
        {"stem.out": (8, ""), "own.w.0.0": (4, ""), "own.w.0.1": (4, ""), "own.w.0.2": (4, "")},
    ),
    "stacked weights": (
        lambda x, p: aten.linear.default(
            x, aten.reshape.default(aten.stack.default([p["v"], p["w"]], 1), [12, 8])
        ), 0, {"v": (6, 8), "w": (6, 8)}, {"stem.out": (8, ""), "own.v.0": (6, "")},
    ),
    "repeated rows": (
        lambda x, p: aten.linear.default(x, aten.repeat.default(p["w"], [2, 1])), 0, {"w": (6, 8)},
        {"stem.out": (8, ""), "own.w.0": (6, ""), "head.in.0": (2, "")},
    ),
    "one weight, there and back": (
        lambda x, p: aten.linear.default(
            aten.linear.default(aten.linear.default(x, p["w"]), aten.t.default(p["w"])), p["v"]
        ), 0, {"w": (5, 8), "v": (12, 8)}, {"stem.out": (8, ""), "own.w.0": (5, ""), "own.v.0": (12, "")},
    ),
    "low rank": (
        lambda x, p: aten.linear.default(x, aten.mm.default(p["v"], p["w"])), 0, {"v": (12, 5), "w": (5, 8)},
        {"stem.out": (8, ""), "own.v.0": (12, ""), "own.v.1": (5, "")},
    ),
    "conv": (
        lambda x, p: aten.conv2d.default(x, aten.tanh.default(p["w"]), p["b"], padding=[1, 1]), 2,
        {"w": (12, 8, 3, 3), "b": (12,)}, PLAIN,
    ),
    "conv, padding by name": (
        lambda x, p: aten.conv1d.padding(x, aten.tanh.default(p["w"]), None, [1], "same"), 1, {"w": (12, 8, 3)}, PLAIN,
    ),
    "grouped conv": (
        lambda x, p: aten.conv2d.default(x, p["w"], groups=4), 2, {"w": (12, 2, 1, 1)},
        {"stem.out.0": (4, ""), "stem.out.1": (2, ""), "own.w.0.1": (3, "")},
    ),
    "standardised conv": (
        lambda x, p: aten.conv2d.default(x, standardized(p["w"]), padding=[1, 1]), 2, {"w": (12, 8, 3, 3)},
        {"stem.out": (8, "mean"), "own.w.0": (12, "")},
    ),
    "conv standardised by a batch norm": (
        lambda x, p: aten.conv2d.default(x, batch_norm_standardized(p["w"]), padding=[1, 1]), 2,
        {"w": (12, 8, 3, 3)}, {"stem.out": (8, "batch_norm"), "own.w.0": (12, "")},
    ),
    "transposed conv": (
        lambda x, p: aten.conv_transpose2d.input(x, p["w"], p["b"]), 2, {"w": (8, 12, 2, 2), "b": (12,)},
        {"stem.out": (8, ""), "own.w.1": (12, "")},
    ),
    "grouped transposed conv": (
        lambda x, p: aten.conv_transpose1d.default(x, p["w"], groups=4), 1, {"w": (8, 3, 2)},
        {"stem.out.0": (4, ""), "stem.out.1": (2, ""), "own.w.1": (3, "")},
    ),
    "matmul": (lambda x, p: aten.matmul.default(x, p["w"]), 0, {"w": (8, 12)},
               {"stem.out": (8, ""), "own.w.1": (12, "")}),
    "mm": (lambda x, p: aten.mm.default(x, p["w"]), 0, {"w": (8, 12)}, {"stem.out": (8, ""), "own.w.1": (12, "")}),
    "addmm": (
        lambda x, p: aten.addmm.default(p["b"], x, p["w"]), 0, {"w": (8, 12), "b": (12,)},
        {"stem.out": (8, ""), "own.b.0": (12, "")},
    ),
    "mv and outer": (
        lambda x, p: aten.outer.default(aten.mv.default(x, p["v"]), p["w"]), 0, {"v": (8,), "w": (12,)},
        {"stem.out": (8, ""), "own.w.0": (12, "")},
    ),
    "dot": (
        lambda x, p: aten.mul.Tensor(aten.linear.default(x, p["w"]), aten.dot.default(p["u"], p["v"])), 0,
        {"w": (12, 8), "u": (5,), "v": (5,)}, {**PLAIN, "own.u.0": (5, "")},
    ),
    "linear to a number": (
        lambda x, p: aten.mul.Tensor(aten.unsqueeze.default(aten.linear.default(x, p["v"]), -1), p["w"]), 0,
        {"v": (8,), "w": (12,)}, {"stem.out": (8, ""), "own.w.0": (12, "")},
    ),
    "bilinear": (
        lambda x, p: aten.bilinear.default(x, aten.linear.default(x, p["v"]), p["w"], p["b"]), 0,
        {"v": (5, 8), "w": (12, 8, 5), "b": (12,)}, {"stem.out": (8, ""), "own.v.0": (5, ""), "own.w.0": (12, "")},
    ),
    "layer norm": (
        lambda x, p: aten.linear.default(aten.layer_norm.default(x, [8], aten.exp.default(p["g"]), p["h"]), p["w"]),
        0, {"g": (8,), "h": (8,), "w": (12, 8)}, {"stem.out": (8, "layer_norm"), "own.w.0": (12, "")},
    ),
    "layer norm without weights": (
        lambda x, p: aten.linear.default(aten.layer_norm.default(x, [8]), p["w"]), 0, {"w": (12, 8)},
        {"stem.out": (8, "layer_norm"), "own.w.0": (12, "")},
    ),
    "rms norm": (
        lambda x, p: aten.linear.default(aten.rms_norm.default(x, [8], p["g"]), p["w"]), 0,
        {"g": (8,), "w": (12, 8)}, {"stem.out": (8, "rms_norm"), "own.w.0": (12, "")},
    ),
    "group norm": (
        lambda x, p: aten.conv2d.default(aten.group_norm.default(x, 4), p["w"]), 2, {"w": (12, 8, 1, 1)},
        {"stem.out.0": (4, ""), "stem.out.1": (2, "group_norm"), "own.w.0": (12, "")},
    ),
    "instance norm": (
        lambda x, p: aten.conv2d.default(
            aten.instance_norm.default(x, p["g"], p["h"], None, None, True, 0.0, 1e-5, False), p["w"]
        ), 2, {"g": (8,), "h": (8,), "w": (12, 8, 1, 1)}, PLAIN,
    ),
    "batch norm by the batch": (
        lambda x, p: aten.linear.default(
            aten.batch_norm.default(x, p["g"], p["h"], None, None, True, 0.0, 1e-5, False), p["w"]
        ), 0, {"g": (8,), "h": (8,), "w": (12, 8)}, PLAIN,
    ),
    "prelu": (
        lambda x, p: aten.linear.default(aten.prelu.default(x, p["g"]), p["w"]), 0, {"g": (8,), "w": (12, 8)}, PLAIN,
    ),
    "prelu of one slope": (
        lambda x, p: aten.linear.default(aten.prelu.default(x, p["g"]), p["w"]), 0, {"g": (1,), "w": (12, 8)}, PLAIN,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_computed_weights(name: str) -> None:
    operator, spatial, shapes, expected = CASES[name]
    source = traced(Computed(operator, spatial, **shapes), ("batch", 3, *[5] * spatial))
    assert exactness(source) == expected
    check_each_axis(source)
    axes = analyse(source)
    keep = {axis.name: torch.arange(keep_count(axis.size, 0.5)) for axis in axes.prunable()}
    small = remove(source, axes, keep)
    small.module(*small.examples(batch=3)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in small.module.parameters())


class Table(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(7, 6))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        rows = aten.argmax.default(x, 1)
        out: Tensor = self.head(aten.embedding.default(aten.tanh.default(self.table), rows))
        return out


def test_a_computed_embedding() -> None:
    source = traced(Table(), ("batch", 5))
    assert exactness(source) == {"table.1": (6, "")}
    assert analyse(source).frozen()["table.0"] == "vocabulary"
    check_each_axis(source)
