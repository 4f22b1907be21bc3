"""How long a user waits before anything happens: ``modelpress --help`` and ``import modelpress``."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.harness import Figure, Figures


def run(*, quick: bool) -> Figures:
    repeats = 3 if quick else 15
    cli = [str(Path(sys.executable).parent / "modelpress"), "--help"]
    bare = [sys.executable, "-c", "pass"]
    whole = [sys.executable, "-c", "import modelpress; modelpress.connect"]
    seconds: dict[str, list[float]] = {"cli": [], "bare": [], "import": []}
    for _ in range(repeats):  # in turn, so that the machine's moods meet all of them
        for name, command in (("cli", cli), ("bare", bare), ("import", whole)):
            seconds[name].append(_seconds(command))
    return {
        "cli_s": Figure(median(seconds["cli"]), "s", tuple(seconds["cli"]), "<= 0.3"),
        "import_s": Figure(median(seconds["import"]), "s", tuple(seconds["import"]), "<= 0.2", "a whole process"),
        "python_s": Figure(median(seconds["bare"]), "s", tuple(seconds["bare"]), note="an empty Python process"),
        "torch_imported": Figure(float(_imports_torch()), "0 or 1", target="<= 0"),
    }


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def _imports_torch() -> bool:
    program = "import sys, modelpress, modelpress.cli.main; modelpress.connect; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return done.stdout.strip() == "True"
