"""What a program may x-ray, and under which name the next command would push it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import modelpress
from modelpress.client.client import Client
from modelpress.client.xraying import Request, _subject, request_of
from modelpress.errors import InputError, NotFoundError
from modelpress.graph.export import export

NET = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 4))


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr("modelpress.xray.measuring.SETTLED_S", 0.1)
    with modelpress.connect(home=tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (Request(NET, source="timm:vit_tiny_patch16_224"), "vit-tiny-patch16-224"),
        (Request(NET, source="torchvision.models:resnet50"), "torchvision-models-resnet50"),
        (Request(Path("out/My Net.pt2"), source="out/My Net.pt2"), "my-net"),
        (Request(NET), "my-models-build"),
    ],
)
def test_names(request_: Request, name: str) -> None:
    subject = _subject(request_, export(NET, torch.randn(2, 6), check=False))
    assert subject.name == name
    assert subject.sample == (6,)
    assert not subject.has_norms


def test_a_module_and_what_was_pushed_of_it(client: Client) -> None:
    said: list[str] = []
    found = client.xray(NET, torch.randn(2, 6), batches=[1], threads=1, budget_s=120, say=said.append)
    assert found.source == "Sequential"
    assert "building int8" in said
    pushed = client.push_model(NET, torch.randn(2, 6), name="net")
    assert request_of(client, "net", None, None).model == pushed
    assert [a.name for a in client.artifacts()] == ["net", "targets/local"]


def test_what_is_refused(client: Client) -> None:
    with pytest.raises(NotFoundError, match="there is no artifact 'absent'"):
        client.xray("absent")
    with pytest.raises(InputError, match="example_inputs is missing"):
        client.xray(NET)
    pushed = client.push_model(NET, torch.randn(2, 6), name="net")
    with pytest.raises(InputError, match="knows its inputs"):
        client.xray(pushed, torch.randn(2, 6))
    with pytest.raises(InputError, match="no worker"):
        client.xray(pushed, target="phone")
