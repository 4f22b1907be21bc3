"""Figures, their targets, and the file that a benchmark leaves in ``benchmarks/results``."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from modelpress.pipeline.gates import parse_condition

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Figure:
    """One measured number. ``spread`` are the single values (seeds, repeats); ``target`` like ``"<= 0.5"``."""

    value: float
    unit: str
    spread: tuple[float, ...] = ()
    target: str = ""
    note: str = ""

    def met(self) -> bool | None:
        """Whether the target holds; None without one."""
        return parse_condition(self.target).holds(self.value) if self.target else None


Figures = Mapping[str, Figure]


def machine() -> dict[str, object]:
    """What the figures depend on, without a name of the machine."""
    info = Path("/proc/cpuinfo")
    models = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return {
        "cpu": models[0].partition(":")[2].strip() if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
    }


def peak_mb() -> float:
    """Most memory that this process has held since it started.

    Not ``getrusage``: what that tells begins at the peak of the process that started this one.
    """
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def commit() -> str:
    """The commit that was measured, with ``+`` where the tree differed from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    written = ("benchmarks/results", "demo/baselines.json")  # what benchmarks themselves write
    changed = [line for line in git("status", "--porcelain").splitlines() if not any(w in line for w in written)]
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")


def table(figures: Figures) -> str:
    """The figures as text, a line each."""
    rows = [("figure", "value", "unit", "target", "met")]
    words = {True: "yes", False: "NO", None: ""}
    rows += [(name, f"{f.value:.4g}", f.unit, f.target, words[f.met()]) for name, f in figures.items()]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def write(name: str, figures: Figures) -> Path:
    """Write ``results/<name>.json`` and return its path."""
    RESULTS.mkdir(exist_ok=True)
    rows = {key: {k: v for k, v in asdict(f).items() if v not in ("", ())} for key, f in figures.items()}
    path = RESULTS / f"{name}.json"
    record = {"name": name, "commit": commit(), "machine": machine(), "figures": rows}
    path.write_text(json.dumps(record, indent=2) + "\n")
    return path
