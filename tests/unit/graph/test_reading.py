"""What reading says in one spelling where files have two."""

from __future__ import annotations

import pytest
import torch

from modelpress.graph import operators
from modelpress.graph.lift.canonical import canonical
from modelpress.graph.serialise import save
from tests.unit.graph.crafted import Json, call, graph, node, read

IMAGES = ("batch", 2, 3, 4)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (call("aten.view.default", node(0), [-1, 24]), call("aten.reshape.default", node(0), [-1, 24])),
        (call("aten.view.default", size=[-1, 24], self=node(0)), call("aten.reshape.default", node(0), [-1, 24])),
        (call("aten.view_as.default", node(0), node(0)), call("aten.reshape_as.default", node(0), node(0))),
    ],
)
def test_a_view_is_read_as_a_reshape(old: Json, new: Json) -> None:
    """So a graph that an earlier modelpress lifted runs in every memory format, too."""
    model = read(graph([old], IMAGES))
    assert save(model).graph_json == save(read(graph([new], IMAGES))).graph_json
    x = torch.randn(3, 2, 3, 4)
    images = x.contiguous(memory_format=torch.channels_last)
    assert torch.equal(model.module(images), model.module(x))


def test_no_other_operator_is_read_as_another() -> None:
    renamed = {name for name, target in operators.targets().items() if canonical(target) is not target}
    assert renamed == {"aten.view.default", "aten.view_as.default"}
