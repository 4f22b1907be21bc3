"""Pages in headless Chromium: what it complains of, and what it measures on a phone's width."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
DEADLINE_S = 120
PHONE_PX = 375

MEASURE = """
function boxes(page, selector) {
  return [...page.querySelectorAll(selector)].map(e => {
    const r = e.getBoundingClientRect();
    return {plot: [...page.querySelectorAll("svg")].indexOf(e.ownerSVGElement), name: e.textContent,
            left: r.left, top: r.top, right: r.right, bottom: r.bottom};
  });
}
window.onload = () => {
  const found = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument;
    return {width: page.documentElement.scrollWidth, text: page.body.textContent, labels: boxes(page, "svg .name"),
            background: getComputedStyle(page.body).backgroundColor};
  });
  document.body.innerHTML = "<pre id=result></pre>";
  document.getElementById("result").textContent = JSON.stringify(found);
};
"""


@dataclass(frozen=True)
class Opened:
    """``complaints`` are lines of the browser's console; ``pages`` what was measured on each page, in order."""

    complaints: list[str]
    pages: list[dict[str, Any]]


def open_pages(pages: list[str], folder: Path, dark: bool = False) -> Opened:
    """All of ``pages`` at once, each in a frame as wide as a phone. Skips where there is no browser; fails in CI."""
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        message = f"none of {', '.join(NAMES)} is on the PATH; on Debian: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    frames = "".join(f'<iframe style="width:{PHONE_PX}px;height:800px" srcdoc="{escape(p)}"></iframe>' for p in pages)
    outer = folder / "pages.html"
    outer.write_text(f'<!doctype html><meta charset="utf-8"><script>{MEASURE}</script><body>{frames}')
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr", "--v=0"]
    flags += [f"--user-data-dir={folder / 'profile'}", f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    command = [browser, *flags, "--dump-dom", outer.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=DEADLINE_S)
    result = re.search(r'<pre id="result">(.*)</pre>', done.stdout, re.DOTALL)
    assert result, f"the pages were not measured: {done.stdout[:500]} {done.stderr[-500:]}"
    complaints = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return Opened(complaints, json.loads(_unescaped(result[1])))


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", "\u00a0").replace("&amp;", "&")
