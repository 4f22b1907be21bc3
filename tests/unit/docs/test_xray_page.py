"""docs/xray.md explains every part that the page can have, and its picture is there and small."""

from __future__ import annotations

import re
from pathlib import Path

from modelpress.xray.page import render
from tests.unit.xray import samples

DOCS = Path(__file__).parents[3] / "docs"


def test_every_part_of_the_page_is_explained() -> None:
    text = (DOCS / "xray.md").read_text()
    titles = re.findall(r"<h2>(.*?)</h2>", render(samples.resnet()))
    missing = [title for title in titles if title not in text]
    assert missing == []


def test_the_picture_is_there_and_small() -> None:
    found = re.findall(r"\(images/(\S+?)\)", (DOCS / "xray.md").read_text())
    assert found == ["xray.png"]
    assert (DOCS / "images" / "xray.png").stat().st_size < 150_000
