"""Changed files against everything that reads models: no crash, no hang, no memory without bound.

Each parser gets ten minutes (``--quick``: five seconds). Files are those of small real models, changed in their bytes
and in their structure; a child process reads them, so that whatever kills it is counted. What is found goes to
``tests/fixtures/format/corpus``, which a test replays.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmarks.fuzzing.child import Seen, keep, read_folder
from benchmarks.fuzzing.parsers import ARCHIVE, CORPUS, GRAPH, TENSORS, Files
from benchmarks.harness import ROOT, Figure, Figures
from modelpress.graph.export import export
from modelpress.graph.serialise import save
from modelpress.testing.zoo import ZOO

FORMAT_FIXTURES = ROOT / "tests" / "fixtures" / "format" / "v1"
PARSERS = (GRAPH, TENSORS, "model", ARCHIVE)
MODELS = ("lenet-5", "lstm", "gru", "temporal-conv-net", "unet", "detector", "graph-scatter", "bert")
"""With the fixtures of version 1; small, so that a second holds many readings."""
MAX_KEPT_BYTES = 2**20


@dataclass
class Total:
    """What all children of one parser saw."""

    executions: int = 0
    accepted: int = 0
    crashes: list[str] = field(default_factory=list)
    hangs: int = 0
    growth_mb: float = 0.0
    peak_mb: float = 0.0


def run(*, quick: bool) -> Figures:
    seconds = 5.0 if quick else 600.0
    with tempfile.TemporaryDirectory() as folder:
        seeds = _seeds(Path(folder), MODELS[:3] if quick else MODELS)
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            totals = dict(zip(PARSERS, pool.map(lambda p: _fuzz(p, seeds[p], seconds), PARSERS), strict=True))
    return _figures(totals, seconds)


def _figures(totals: Mapping[str, Total], seconds: float) -> Figures:
    crashes = [text for total in totals.values() for text in total.crashes]
    figures = {
        "crashes": Figure(len(crashes), "count", target="<= 0", note="; ".join(sorted(set(crashes))[:5])),
        "hangs": Figure(sum(t.hangs for t in totals.values()), "count", target="<= 0", note="readings over 5 s"),
        "peak_mb": Figure(max(t.peak_mb for t in totals.values()), "MB", note="of a process, torch included"),
        "growth_mb": Figure(
            max(t.growth_mb for t in totals.values()),
            "MB",
            target="<= 4096",
            note="of that, beyond the unchanged files",
        ),
        "seconds": Figure(seconds, "s", note="a parser"),
    }
    for name, total in totals.items():
        share = total.accepted / max(1, total.executions)
        figures[f"executions_{name}"] = Figure(total.executions, "count", note=f"{share:.1%} of them accepted")
    return figures


# --- the files that are changed


def _seeds(folder: Path, names: tuple[str, ...]) -> dict[str, Path]:
    """A folder of models for each parser."""
    models, archives = folder / "models", folder / "archives"
    for fixture in FORMAT_FIXTURES.iterdir():
        files = read_folder(fixture)
        keep({GRAPH: files[GRAPH], TENSORS: files[TENSORS]}, models / fixture.name)
    for name in names:
        net, examples = ZOO[name].lively(), ZOO[name].examples()
        saved = save(export(net, tuple(examples.values()), check=False))
        keep({GRAPH: saved.graph_json, TENSORS: saved.tensors}, models / name)
        keep({ARCHIVE: _archive(net, tuple(examples.values()))}, archives / name)
    return {parser: archives if parser == ARCHIVE else models for parser in PARSERS}


def _archive(net: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(
            torch.export.export(net, inputs, dynamic_shapes=({0: torch.export.Dim.DYNAMIC},) * len(inputs)), file
        )
    return file.getvalue()


# --- the children


def _fuzz(parser: str, seeds: Path, seconds: float) -> Total:
    """Children one after another until the time is up; whatever kills one is kept and counted."""
    total, until, seed = Total(), time.monotonic() + seconds, 0
    while (left := until - time.monotonic()) > 1:
        seed += 1
        with tempfile.TemporaryDirectory() as work:
            command = [sys.executable, "-m", "benchmarks.fuzzing.child", parser, str(seeds), work, str(left), str(seed)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            _count(total, done, Path(work), parser)
    return total


def _count(total: Total, done: subprocess.CompletedProcess[str], work: Path, parser: str) -> None:
    if done.returncode == 0:
        seen = Seen(**json.loads(done.stdout.splitlines()[-1]))
        total.executions += seen.executions
        total.accepted += seen.accepted
        total.crashes += seen.crashes
        total.peak_mb = max(total.peak_mb, seen.peak_mb)
        total.growth_mb = max(total.growth_mb, seen.peak_mb - seen.baseline_mb)
        for folder in work.glob("crash-*"):
            _to_corpus(read_folder(folder), parser)
        return
    if "Timeout (" in done.stderr:
        total.hangs += 1
    elif done.returncode < 0:
        total.crashes.append(f"signal {-done.returncode}: {done.stderr[-300:]}")
    else:
        raise RuntimeError(f"fuzzing {parser} failed by itself: {done.stderr[-2000:]}")
    _to_corpus(read_folder(work / "current"), parser)


def _to_corpus(files: Files, parser: str) -> None:
    if sum(map(len, files.values())) <= MAX_KEPT_BYTES:
        digest = hashlib.sha256(b"".join(files[name] for name in sorted(files))).hexdigest()[:12]
        keep(files, CORPUS / f"{parser.partition('.')[0]}-{digest}")
