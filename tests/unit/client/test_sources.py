"""Models in the user's own code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from modelpress.client.samples import parse_sample
from modelpress.client.sources import load_source
from modelpress.errors import InputError, NotFoundError

CODE = """
import torch
from torch import nn

def net(): return nn.Linear(4, 2)
def pair(): return nn.Linear(4, 2), torch.ones(3, 4)
def several(): return nn.Bilinear(4, 4, 2), (torch.ones(3, 4), torch.ones(3, 4))
def number(): return 3
def broken(): raise RuntimeError("no weights here")
value = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module in the working directory."""
    name = f"users_models_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_a_module_and_the_shape_of_a_sample(module: str) -> None:
    loaded = load_source(f"{module}:net", [parse_sample("4")])
    assert isinstance(loaded.net, torch.nn.Linear)
    assert loaded.example_inputs[0].shape == (2, 4)


def test_examples_of_the_callable(module: str) -> None:
    assert load_source(f"{module}:pair").example_inputs.shape == (3, 4)
    assert len(load_source(f"{module}:several").example_inputs) == 2


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("net", InputError, "--input"),
        ("number", InputError, "returned a int"),
        ("broken", InputError, "no weights here"),
        ("value", InputError, "not a callable"),
        ("nett", NotFoundError, "did you mean 'net'"),
    ],
)
def test_what_cannot_be_a_model(module: str, name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load_source(f"{module}:{name}")


def test_a_module_that_needs_what_is_not_there(module: str, tmp_path: Path) -> None:
    (tmp_path / f"{module}_needy.py").write_text("import no_such_library")
    with pytest.raises(InputError, match="needs 'no_such_library'"):
        load_source(f"{module}_needy:net")


def test_a_model_of_timm_comes_with_weights_and_images(monkeypatch: pytest.MonkeyPatch) -> None:
    timm = pytest.importorskip("timm")
    asked = []

    def create(name: str, pretrained: bool) -> torch.nn.Module:
        asked.append((name, pretrained))
        net = torch.nn.Conv2d(3, 1, 1)
        net.pretrained_cfg = {"input_size": (3, 8, 8)}  # type: ignore[assignment]
        return net

    monkeypatch.setattr(timm, "create_model", create)
    assert load_source("timm:resnet18").example_inputs.shape == (2, 3, 8, 8)
    assert asked == [("resnet18", True)]
    with pytest.raises(NotFoundError, match="did you mean 'resnet18'"):
        load_source("timm:resnet-18")
