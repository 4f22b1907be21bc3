"""What holds a frozen axis, where in the code, and the weights that it keeps whole."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from modelpress.constraints.stack import parameters_of
from modelpress.graph.axes import analyse
from modelpress.graph.axes.describe import prunable_share
from modelpress.graph.axes.held import ALONE, Held, held
from modelpress.graph.export import export
from modelpress.graph.lift.source import short_path
from modelpress.graph.model import Model
from modelpress.graph.serialise import load, save
from tests.unit.graph.axes.nets import lifted, model
from tests.unit.graph.axes.test_structure import Tied


class Sorted(nn.Module):
    """Features are sorted, tokens are looked up, one number scales all."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 8), nn.Linear(8, 12), nn.Linear(12, 3)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        ordered = self.first(x).sort(1).values
        y: Tensor = self.last(torch.relu(self.second(ordered)))
        return y * self.scale


def by_name(source: Model) -> dict[str, Held]:
    return {h.name: h for h in held(source, analyse(source))}


def test_every_frozen_axis_has_its_reason_its_line_and_its_weights() -> None:
    found = by_name(lifted(Sorted(), 6))
    assert {name: (h.why, h.line.partition(": ")[2], h.parameters, h.whole) for name, h in found.items()} == {
        "first.in": ("input", "ordered = self.first(x).sort(1).values", 48, 0),
        "first.out": ("sorted by sort", "ordered = self.first(x).sort(1).values", 48 + 8 + 96, 48 + 8),
        "last.out": ("output", "return y * self.scale", 36 + 3, 3),
        "scale": (ALONE, "", 1, 1),
    }
    assert found["first.out"].line.startswith("test_held.py:")


def test_a_graph_from_a_file_knows_the_operator_and_its_place_but_no_line() -> None:
    saved = save(lifted(Sorted(), 6))
    source = load(saved.graph_json, saved.tensors)
    found = by_name(source)["first.out"]
    assert (found.why, found.line) == ("sorted by sort at sort_default", "")


def test_torchs_own_lines_tell_nothing() -> None:
    assert [(h.why, h.line) for h in by_name(lifted(nn.Sequential(nn.Linear(6, 4)), 6)).values()] == [
        ("output", ""),
        ("input", ""),
    ]


@pytest.mark.parametrize("name", ["lenet", "mobilenet_v2", "attention", "vgg16_bn"])
def test_what_is_kept_whole_is_what_cannot_be_pruned(name: str) -> None:
    source = model(name)
    axes = analyse(source)
    total = sum(p.numel() for p in parameters_of(source.module).values())
    assert sum(h.whole for h in held(source, axes)) == round((1 - prunable_share(source, axes)) * total)


def test_tied_weights_count_once() -> None:
    source = export(Tied(), torch.randint(0, 11, (2, 5)), check=False)
    assert prunable_share(source, analyse(source)) == 1.0
    assert [(h.why, h.parameters, h.whole) for h in held(source, analyse(source))] == [("vocabulary", 88, 0)]


@pytest.mark.parametrize(
    ("path", "short"),
    [
        ("/opt/env/lib/python3.11/site-packages/timm/layers/attention.py", "timm/layers/attention.py"),
        (r"C:\env\Lib\site-packages\timm\layers\norm.py", "timm/layers/norm.py"),
        ("/usr/lib/python3/dist-packages/net.py", "net.py"),
        ("/home/someone/secret/model.py", "model.py"),
    ],
)
def test_paths_are_short_and_no_ones(path: str, short: str) -> None:
    assert short_path(path) == short
