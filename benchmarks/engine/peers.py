"""An environment of the peers' own, made once under the cache; their versions are pinned here."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = ("dbos==3.4.0", "luigi==3.8.1", "sqlalchemy==2.0.44")


def peers_python(cache: Path) -> Path:
    """The interpreter of an environment that has the peers; installs them (a minute) where it is not there yet.

    Raises:
        subprocess.CalledProcessError: they cannot be installed.
    """
    what = " ".join((sys.version, *REQUIREMENTS))
    folder = cache / "benchmarks" / f"peers-{hashlib.sha256(what.encode()).hexdigest()[:12]}"
    complete = folder / "complete"
    python = folder / "bin" / "python"
    if not complete.exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
        complete.touch()
    return python
