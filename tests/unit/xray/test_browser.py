"""The pages as a browser shows them: nothing to complain of, nothing wider than a phone, no label on another."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from modelpress.xray.page import render
from tests.unit.report.samples import facts
from tests.unit.xray import samples
from tests.unit.xray.browser import PHONE_PX, Opened, open_pages

NASTY = "</style><script>alert(1)</script><img src='https://example.org/x' onerror=\"alert(1)\">"


@pytest.fixture(scope="module", params=["light", "dark"])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    from modelpress.report.page import render as render_report

    xrays = (samples.resnet(), samples.mlp(), samples.extreme(), samples.extreme(NASTY))
    pages = [*map(render, xrays), render_report(facts())]
    return open_pages(pages, tmp_path_factory.mktemp("browser"), dark=request.param == "dark")


def test_the_console_stays_empty(opened: Opened) -> None:
    assert opened.complaints == []


def test_no_page_scrolls_sideways_on_a_phone(opened: Opened) -> None:
    assert [page["width"] for page in opened.pages] == [PHONE_PX] * 5


def test_what_is_nasty_is_shown_as_text(opened: Opened) -> None:
    assert NASTY in opened.pages[3]["text"]


def test_labels_of_plots_lie_apart(opened: Opened) -> None:
    for page in opened.pages:
        pairs = combinations(page["labels"], 2)
        assert [(a["name"], b["name"]) for a, b in pairs if overlap(a, b)] == []


def overlap(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two labels of one plot cover more than a hair of each other."""
    across = min(a["right"], b["right"]) - max(a["left"], b["left"])
    down = min(a["bottom"], b["bottom"]) - max(a["top"], b["top"])
    return bool(a["plot"] == b["plot"] and across > 1 and down > 3)


def test_the_policy_of_every_page_stops_scripts_and_requests_aloud(tmp_path: Path) -> None:
    bad = '<script>document.body.append("ran")</script><img src="https://example.org/x">'
    page = render(samples.mlp()).replace("</main>", f"{bad}</main>")
    opened = open_pages([page], tmp_path)
    assert len(opened.complaints) == 2
    assert not opened.pages[0]["text"].endswith("ran")
