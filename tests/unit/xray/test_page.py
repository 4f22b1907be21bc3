"""The page is whole, fetches nothing, escapes everything, and leaves nothing out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from modelpress.report.document import style_sheet
from modelpress.xray.findings import ALL_CARRIED, XRay
from modelpress.xray.page import render
from tests.unit.report.test_page import parsed
from tests.unit.xray import samples

SAMPLES = [samples.resnet, samples.mlp, samples.extreme]


@pytest.mark.parametrize("make", SAMPLES)
def test_the_page_is_well_formed_and_fetches_nothing(make: Callable[[], XRay]) -> None:
    page = render(make())
    tree = parsed(page)
    assert tree.faults == []
    assert tree.open == []
    assert not {"script", "link", "img", "iframe", "object"} & set(tree.tags)
    assert not re.search(r"url\(|@import|https?:", page)


@pytest.mark.parametrize("make", SAMPLES)
def test_nothing_is_left_out(make: Callable[[], XRay]) -> None:
    xray = make()
    page = render(xray)
    told = [xray.source, xray.verdict, xray.next_command, xray.machine.cpu, xray.machine.runtime, xray.noisy]
    told += [*xray.warnings, *xray.notes, *xray.machine.versions.values()]
    told += [c.name for c in xray.candidates] + [path for c in xray.candidates for path in c.float_layers]
    told += [text for s in xray.skipped for text in (s.name, s.why)]
    told += [x.path for x in xray.layers] + [a.name for a in xray.axes] + [a.inexact_because for a in xray.axes]
    told += [text for f in xray.frozen for text in (f.name, f.why, f.line)]
    assert [text for text in told if text.replace("'", "&#x27;") not in page] == []


def test_the_verdict_stands_before_everything_else() -> None:
    page = render(samples.resnet())
    assert page.index("int8 alone") < page.index("27.7× smaller") < page.index("<table")


def test_what_others_named_is_escaped() -> None:
    nasty = "\"><img src=x onerror='alert(1)'><script>alert(2)</script>"
    page = render(samples.extreme(nasty))
    assert "<img" not in page
    assert "<script" not in page
    assert parsed(page).faults == []


def test_the_best_is_marked_and_what_brings_nothing_says_so() -> None:
    page = render(samples.resnet())
    assert page.count(">best<") == 2, "one a batch"
    low_rank = page[page.index('scope="row">low rank') :]
    assert low_rank.index("no gain") < low_rank.index("slower") < low_rank.index("</table>")
    assert ">best<" not in render(samples.mlp())


def test_a_verdict_without_a_gain_or_on_a_noisy_machine_is_no_good_news() -> None:
    assert 'class="verdict"' in render(samples.resnet())
    assert 'class="verdict refused"' in render(samples.mlp())
    assert 'class="verdict refused"' in render(replace(samples.resnet(), noisy="busy"))


def test_parts_without_content_are_left_out() -> None:
    bare = replace(samples.mlp(), warnings=(), notes=(), skipped=(), frozen=(), axes=(), layers=(), noisy="")
    page = render(bare)
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    assert titles == [
        "Next",
        "What was built and measured",
        "Latency against size",
        NOT_CARRIED,
        "Machine and versions",
    ]


NOT_CARRIED = "What the export does not carry"


def test_what_the_export_does_not_carry_is_told_and_so_is_that_nothing_is_missing() -> None:
    resnet = samples.resnet()
    page = render(resnet)
    assert resnet.notes[0].replace("'", "&#x27;") in page[page.index(NOT_CARRIED) :]
    assert ALL_CARRIED not in page
    assert ALL_CARRIED in render(replace(resnet, notes=()))


def test_pictures_have_words_for_those_who_do_not_see_them() -> None:
    page = render(samples.resnet())
    pictures = re.findall(r'<(?:svg|div)[^>]*role="img"[^>]*>', page)
    assert len(pictures) == 5, "two plots, the share, the axes, the frozen"
    assert all('aria-label="' in tag for tag in pictures)
    assert "width 1/2, int8 4.68 ms, 6.11 MB" in page


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_what_is_behind_it(dark: bool) -> None:
    colors = palette(dark)
    behind = ("card", "ground", "warn-soft")
    pairs = [("ink", b) for b in (*behind, "soft", "cell", "inexact")] + [("muted", b) for b in ("card", "ground")]
    pairs += [(name, f"{name}-soft") for name in ("good", "bad", "warn")] + [("accent", "card")]
    weak = {pair: round(contrast(colors[pair[0]], colors[pair[1]]), 2) for pair in pairs}
    assert {pair: ratio for pair, ratio in weak.items() if ratio < 4.5} == {}


def palette(dark: bool) -> dict[str, str]:
    """The colours by name; the second block of a sheet has those for the dark."""
    sheets = (("modelpress.report", "report.css"), ("modelpress.xray", "xray.css"))
    blocks = [re.findall(r":root \{(.*?)\}", style_sheet(*sheet), re.DOTALL)[dark] for sheet in sheets]
    return {name: value for block in blocks for name, value in re.findall(r"--([\w-]+): (#\w+)", block)}


def contrast(a: str, b: str) -> float:
    """The ratio of WCAG 2."""
    lighter, darker = sorted((luminance(a), luminance(b)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
