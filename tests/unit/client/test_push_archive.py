"""Pushing a ``.pt2`` archive, by the client and by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import modelpress
from modelpress.client.refs import ModelRef
from modelpress.client.sources import is_archive
from modelpress.errors import InputError, ModelFormatError, NotFoundError
from tests.unit.cli.terminal import run
from tests.unit.graph.pt2.archives import exported

X = torch.rand(3, 4)


@pytest.fixture
def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval()


@pytest.fixture
def archive(net: nn.Module, tmp_path: Path) -> Path:
    file = tmp_path / "net.pt2"
    file.write_bytes(exported(net, (X,)))
    return file


def test_the_client_takes_a_path(net: nn.Module, archive: Path, tmp_path: Path) -> None:
    with modelpress.connect(home=tmp_path / "home") as client:
        for source in (archive, str(archive)):
            ref = client.push_model(source, name="mine")
            loaded = client.artifact("mine")
            assert isinstance(loaded, ModelRef)
            assert loaded.digest == ref.digest
            assert torch.equal(loaded.load()(X), net(X))
        assert any(".pt2" in note for note in ref.manifest().config["notes"])


def test_what_the_client_refuses(net: nn.Module, archive: Path, tmp_path: Path) -> None:
    archive.with_name("broken.pt2").write_bytes(archive.read_bytes()[:-5])
    with modelpress.connect(home=tmp_path / "home") as client:
        with pytest.raises(InputError, match="leave example_inputs and dynamic out"):
            client.push_model(archive, X)
        with pytest.raises(InputError, match="example_inputs is missing"):
            client.push_model(net)
        with pytest.raises(NotFoundError, match=r"no file .*absent\.pt2"):
            client.push_model(tmp_path / "absent.pt2")
        with pytest.raises(ModelFormatError, match="truncated"):
            client.push_model(archive.with_name("broken.pt2"), name="broken")
        assert client.artifacts() == []


def test_the_command_line_takes_a_path(capsys: pytest.CaptureFixture[str], archive: Path, tmp_path: Path) -> None:
    home = ("--home", str(tmp_path / "home"))
    done = run(capsys, "push", "model", str(archive), "--name", "mine", *home)
    assert done.code == 0
    assert "mine  model  sha256:" in done.out
    assert "note: read from a .pt2 archive" in done.out
    shown = run(capsys, "show", "mine", "--json", *home)
    assert json.loads(shown.out)["config"]["inputs"][0]["shape"] == ["batch", 4]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["absent.pt2"], "absent.pt2"),
        (["net.pt2", "--input", "4"], "leave --input out"),
        (["text.txt"], "does not begin as a zip"),
    ],
)
def test_what_the_command_line_refuses(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    archive: Path,
    arguments: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(archive.parent)
    Path("text.txt").write_text("no archive at all, but a file")
    done = run(capsys, "push", "model", *arguments, "--name", "n", "--home", "home")
    assert done.code == 2
    assert told in done.err


def test_what_is_an_archive(archive: Path) -> None:
    assert is_archive(str(archive))
    assert is_archive("absent.pt2")
    assert not is_archive("my_models:build")
