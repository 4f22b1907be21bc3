"""Outputs in the user's own containers come back in plain ones."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from modelpress.errors import ExportError
from modelpress.graph.export import export
from modelpress.graph.outputs import plain
from modelpress.graph.serialise import load, save


class Pair(NamedTuple):
    first: Tensor
    second: Tensor


@dataclasses.dataclass
class Found:
    boxes: Tensor
    scores: Tensor | None = None


class Returns(nn.Module):
    """Returns what ``make`` makes of a tensor."""

    def __init__(self, make: Any) -> None:
        super().__init__()
        self.layer, self.make = nn.Linear(4, 2), make

    def forward(self, x: Tensor) -> Any:
        return self.make(self.layer(x))


pytree.register_dataclass(Found)


@pytest.mark.parametrize(
    ("make", "wanted", "told"),
    [
        (lambda y: [y, (y, {"a": y})], lambda y: [y, (y, {"a": y})], None),
        (lambda y: Pair(y, y * 2), lambda y: (y, y * 2), "tuple where the module returns a Pair"),
        (lambda y: OrderedDict(b=y, a=y * 2), lambda y: {"b": y, "a": y * 2}, "dict where the module returns"),
        (lambda y: Found(y), lambda y: {"boxes": y}, "dict where the module returns a Found"),
        (lambda y: (y, 3, None, "text", 0.5), lambda y: (y, 3, None, "text", 0.5), None),
        (lambda y: (y, y.shape[0]), lambda y: (y, y.shape[0]), None),
    ],
)
def test_containers(make: Any, wanted: Any, told: str | None) -> None:
    net = Returns(make).eval()
    files = save(model := export(net, torch.randn(3, 4)))
    loaded = load(files.graph_json, files.tensors)
    x = torch.randn(5, 4)
    ours, expected = plain(loaded.module(x)), plain(wanted(net.layer(x)))
    assert pytree.tree_structure(ours.value) == pytree.tree_structure(expected.value)
    for path, leaf in expected.leaves().items():
        same = ours.leaves()[path]
        assert torch.equal(leaf, same) if isinstance(leaf, Tensor) else leaf == same  # type: ignore[arg-type]
    assert len(model.notes) == (told is not None)
    assert told is None or told in model.notes[0]


def test_keys_that_are_no_text_are_refused() -> None:
    with pytest.raises(ExportError, match="keys must be text"):
        export(Returns(lambda y: {1: y}), torch.randn(2, 4))


def test_leaves_are_told_apart_by_the_way_to_them() -> None:
    x = torch.zeros(1)
    assert list(plain({"a": [x, x], "b": x}).leaves()) == ["a_0", "a_1", "b"]
    assert list(plain(x).leaves()) == [""]
