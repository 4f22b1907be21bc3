"""docs/graph.md says what is so: its sessions are run, its code is the code, its pictures are what would be drawn."""

import doctest
import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "graph.md"
IMAGES = ROOT / "docs" / "images"


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("docs.images.make")


def test_the_sessions_give_what_the_page_says(images: ModuleType) -> None:
    sessions = "\n".join(re.findall(r"```pycon\n(.*?)```", PAGE.read_text(), re.DOTALL))
    test = doctest.DocTestParser().get_doctest(sessions, {}, PAGE.name, str(PAGE), 0)
    said: list[str] = []
    results = doctest.DocTestRunner().run(test, out=said.append)
    assert results.attempted > 20
    assert results.failed == 0, "".join(said)


@pytest.mark.parametrize("name", ["TinyResNet", "TinyTransformer"])
def test_the_page_shows_the_networks_as_they_are(name: str, images: ModuleType) -> None:
    assert inspect.getsource(getattr(images, name)) in PAGE.read_text()


def test_the_pictures_are_those_that_the_code_draws(images: ModuleType) -> None:
    drawn = images.pictures()
    assert {path.name: path.read_text() for path in IMAGES.glob("*.svg")} == drawn
    assert all(f"(images/{name})" in PAGE.read_text() for name in drawn)
