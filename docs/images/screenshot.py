"""Take the picture of docs/xray.md: ``python -m docs.images.screenshot PAGE.html``, a page that ``xray`` wrote.

Needs Chromium. Unlike the drawings it shows a measurement, so it differs from run to run.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

PICTURE = Path(__file__).parent / "xray.png"
SIZE = "860,1000"


def take(page: Path) -> None:
    """The top of ``page`` as `PICTURE`."""
    with tempfile.TemporaryDirectory() as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}"]
        where = [f"--window-size={SIZE}", f"--screenshot={PICTURE}", page.absolute().as_uri()]
        subprocess.run(["chromium", *flags, *where], check=True, capture_output=True)


if __name__ == "__main__":
    take(Path(sys.argv[1]))
