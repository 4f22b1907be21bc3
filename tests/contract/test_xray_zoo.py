"""An x-ray of every network of the zoo, each page in a browser: no complaint, nothing that scrolls sideways on a phone.

Budgets are as small as they go: what is tested is that every kind of finding can be shown, not what was measured.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import torch

from modelpress.catalogue import load_catalogue
from modelpress.config.settings import usable_cores
from modelpress.graph.export import export
from modelpress.measure import rounds
from modelpress.testing.zoo import ZOO
from modelpress.xray import take as taking
from modelpress.xray.advice import Subject
from modelpress.xray.budget import Clock
from modelpress.xray.candidates import WAYS
from modelpress.xray.findings import XRay
from modelpress.xray.page import render
from modelpress.xray.subject import has_batch_norms, sample_shape
from modelpress.xray.take import Options
from tests.unit.xray.browser import PHONE_PX, Opened, open_pages

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]
BUDGET_S = 0.1
"""What it holds is the dense model and int8, which are built whatever the budget."""


PROCESSES = min(2, usable_cores())
"""Exporting to ONNX, which takes nearly all of the time, keeps one core busy."""


@pytest.fixture(scope="module")
def found() -> dict[str, XRay]:
    with ProcessPoolExecutor(PROCESSES, get_context("spawn"), initializer=hurry) as pool:
        return dict(zip(ZOO, pool.map(xray, ZOO), strict=True))


def hurry() -> None:
    """In a process that only takes these x-rays: one thread, no warming up, layers timed once."""
    torch.set_num_threads(1)
    rounds.WARM_UP_S = 0.0
    taking.PROFILED_CALLS = (1, 1)


def xray(name: str) -> XRay:
    entry = ZOO[name]
    model = export(entry.lively(), entry.examples(), dynamic=entry.dynamic(), check=False)
    subject = Subject(name, f"zoo:{name}", name, (), False, sample_shape(model), has_batch_norms(model))
    options, clock = Options((1,), 1, BUDGET_S), Clock.start(BUDGET_S)
    return taking.take(model, subject, options, load_catalogue(), clock, lambda text: None)


@pytest.fixture(scope="module", params=["light", "dark"])
def opened(request: pytest.FixtureRequest, found: dict[str, XRay], tmp_path_factory: pytest.TempPathFactory) -> Opened:
    pages = [render(one) for one in found.values()]
    return open_pages(pages, tmp_path_factory.mktemp("browser"), dark=request.param == "dark")


def test_the_browser_complains_of_no_page_and_no_page_asks_for_anything(opened: Opened) -> None:
    assert len(opened.pages) == len(ZOO)
    assert opened.complaints == []


def test_no_page_scrolls_sideways_on_a_phone(opened: Opened, found: dict[str, XRay]) -> None:
    widths = {name: page["width"] for name, page in zip(found, opened.pages, strict=True)}
    assert {name: width for name, width in widths.items() if width != PHONE_PX} == {}


def test_light_and_dark_are_told_apart(opened: Opened, request: pytest.FixtureRequest) -> None:
    dark = "[dark]" in request.node.name
    brightness = {sum(map(int, page["background"].strip("rgb()").split(","))) for page in opened.pages}
    assert all((value < 3 * 128) is dark for value in brightness)


@pytest.mark.parametrize("name", ZOO)
def test_no_xray_is_silent_about_what_it_left_out_or_what_must_stay(found: dict[str, XRay], name: str) -> None:
    one = found[name]
    assert {c.name for c in one.candidates} | {s.name for s in one.skipped} >= {way.name for way in WAYS}
    total = one.candidates[0].parameters
    assert one.axes
    assert one.frozen
    assert all(f.line for f in one.frozen if f.whole > 1), "the code of what keeps weights whole is named"
    assert one.prunable_share + sum(f.whole for f in one.frozen) / total == pytest.approx(1, abs=0.05)
