"""What the engine costs: no-op steps on the whole path of a training step, beside DBOS and Luigi in the same run.

Ours: command, grant, claim, a warm child with torch imported, the output stored as an artifact, the result's
conditional create, the event. DBOS runs a step in the workflow's own process and stores what it returns as a row;
Luigi runs a task in its own process, and its target is a file. Each contestant gets a process and a folder of its own
on the same disk in each round, in turn, and is warmed up by a short chain.

Durability: ``power`` survives a power cut, ``process`` the death of any process. DBOS as shipped leaves SQLite's
defaults (rollback journal, synchronous=FULL): power. With a write-ahead log, which it has no setting for and we give
it, it is faster: FULL is power, NORMAL process. Ours is compared with whichever of its forms at that durability was
faster. Figures without a durability in their name are at ``power``.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from benchmarks.engine.contestant import Contestant
from benchmarks.engine.fsyncs import Command, fsync_ms, fsyncs_per_step
from benchmarks.engine.peers import peers_python
from benchmarks.harness import Figure, Figures
from modelpress.config.settings import load_settings

WARM_UP = 3


@dataclass(frozen=True)
class Scale:
    """``runs`` of ``run_steps`` steps are known when runs are listed."""

    rounds: int = 5
    chain: int = 40
    fanout: int = 400
    submits: int = 40
    runs: int = 1000
    run_steps: int = 10


QUICK = Scale(rounds=1, chain=10, fanout=40, submits=5, runs=20)


@dataclass(frozen=True)
class Timing:
    """Of one contestant in one round."""

    chain_ms: float
    fanout_per_s: float


Timings = dict[str, list[Timing]]


def run(*, quick: bool) -> Figures:
    scale = QUICK if quick else Scale()
    cache = load_settings().cache
    commands = contestants(peers_python(cache))
    with tempfile.TemporaryDirectory(
        dir=cache / "benchmarks"
    ) as folder:  # a disk; the system's temporary folder may be memory
        timings = _rounds(commands, Path(folder), scale)
        return {**compared(timings), **_fsyncs(commands, Path(folder), scale), **_ours(commands, Path(folder), scale)}


def contestants(peers: Path) -> dict[str, Command]:
    """By name, how each is started."""

    def program(python: str | Path, name: str, *arguments: str) -> Command:
        return lambda folder: [str(python), "-m", f"benchmarks.engine.{name}", str(folder), *arguments]

    return {
        "ours-power": program(sys.executable, "ours", "power"),
        "ours-process": program(sys.executable, "ours", "process"),
        "dbos-shipped-power": program(peers, "dbos_peer", "shipped", "FULL"),
        "dbos-wal-power": program(peers, "dbos_peer", "wal", "FULL"),
        "dbos-wal-process": program(peers, "dbos_peer", "wal", "NORMAL"),
        "luigi-power": program(peers, "luigi_peer", "power"),
        "luigi-process": program(peers, "luigi_peer", "process"),
    }


def _rounds(commands: dict[str, Command], folder: Path, scale: Scale) -> Timings:
    timings: Timings = {name: [] for name in commands}
    for index in range(scale.rounds):
        for name, command in commands.items():
            own = folder / f"{name}-{index}"
            own.mkdir()
            timings[name].append(_timing(command, own, scale))
            print(f"round {index}  {name:20s}", _line(timings[name][-1]), flush=True)
    return timings


def _timing(command: Command, folder: Path, scale: Scale) -> Timing:
    with Contestant(command(folder), folder) as contestant:
        contestant.ask("chain", steps=WARM_UP)
        (chain_s,) = contestant.ask("chain", steps=scale.chain)
        (fanout_s,) = contestant.ask("fanout", steps=scale.fanout)
    return Timing(chain_s / scale.chain * 1e3, scale.fanout / fanout_s)


def _line(timing: Timing) -> str:
    return f"chain {timing.chain_ms:6.2f} ms a step   fan-out {timing.fanout_per_s:6.0f} steps/s"


def compared(timings: Timings) -> Figures:
    """Figures and ratios at both durabilities; a ratio is taken within each round."""
    figures: dict[str, Figure] = {}
    for durability in ("power", "process"):
        suffix = "" if durability == "power" else "_process"
        ours = timings[f"ours-{durability}"]
        dbos = best([rounds for name, rounds in timings.items() if name.startswith("dbos") and durability in name])
        luigi = timings[f"luigi-{durability}"]
        figures |= {
            f"chain_ms_per_step{suffix}": _figure([t.chain_ms for t in ours], "ms"),
            f"chain_ratio_to_dbos{suffix}": _figure(_chain_ratios(ours, dbos), "x", "<= 1.0"),
            f"chain_ratio_to_luigi{suffix}": _figure(_chain_ratios(ours, luigi), "x"),
            f"fanout_steps_per_s{suffix}": _figure([t.fanout_per_s for t in ours], "steps/s", ">= 300"),
            f"fanout_ratio_to_dbos{suffix}": _figure(_fanout_ratios(ours, dbos), "x", ">= 1.3"),
            f"fanout_ratio_to_luigi{suffix}": _figure(_fanout_ratios(ours, luigi), "x"),
        }
    shipped = timings["dbos-shipped-power"]
    figures["chain_ratio_to_dbos_as_shipped"] = _figure(_chain_ratios(timings["ours-power"], shipped), "x")
    figures["fanout_ratio_to_dbos_as_shipped"] = _figure(_fanout_ratios(timings["ours-power"], shipped), "x")
    for name in (name for name in timings if not name.startswith("ours")):
        plain = name.replace("-", "_")
        figures[f"{plain}_chain_ms_per_step"] = _figure([t.chain_ms for t in timings[name]], "ms")
        figures[f"{plain}_fanout_steps_per_s"] = _figure([t.fanout_per_s for t in timings[name]], "steps/s")
    return figures


def best(forms: Sequence[Sequence[Timing]]) -> list[Timing]:
    """Round by round, the fastest chain and the fastest fan-out of several forms of one contestant."""
    return [
        Timing(min(t.chain_ms for t in together), max(t.fanout_per_s for t in together))
        for together in zip(*forms, strict=True)
    ]


def _chain_ratios(ours: Sequence[Timing], theirs: Sequence[Timing]) -> list[float]:
    return [a.chain_ms / b.chain_ms for a, b in zip(ours, theirs, strict=True)]


def _fanout_ratios(ours: Sequence[Timing], theirs: Sequence[Timing]) -> list[float]:
    return [a.fanout_per_s / b.fanout_per_s for a, b in zip(ours, theirs, strict=True)]


def _figure(values: Sequence[float], unit: str, target: str = "") -> Figure:
    return Figure(median(values), unit, tuple(values), target)


def _fsyncs(commands: dict[str, Command], folder: Path, scale: Scale) -> Figures:
    figures = {"fsync_ms": _figure(fsync_ms(folder, 200), "ms")}
    named = {"": "ours-power", "dbos_": "dbos-shipped-power", "dbos_wal_": "dbos-wal-power"}
    for prefix, name in named.items():
        own = folder / f"{name}-fsyncs"
        own.mkdir()
        counted = fsyncs_per_step(commands[name], own, scale.chain)
        figures[f"{prefix}fsyncs_per_step"] = Figure(counted, "fsyncs", note="of a chain, at durability power")
    return figures


def _ours(commands: dict[str, Command], folder: Path, scale: Scale) -> Figures:
    """What only ours is asked for, at the default durability."""
    own = folder / "ours-alone"
    own.mkdir()
    with Contestant(commands["ours-process"](own), own) as ours:
        ours.ask("chain", steps=scale.chain)
        cached_ms = [ours.ask("again")[0] / scale.chain * 1e3 for _ in range(scale.rounds)]
        start_ms = [seconds * 1e3 for seconds in ours.ask("starts", submits=scale.submits)]
        (fill_s,) = ours.ask("fill", runs=scale.runs, steps=scale.run_steps)
        late_start_ms = [seconds * 1e3 for seconds in ours.ask("starts", submits=scale.submits)]
        reads_ms = [seconds * 1e3 for seconds in ours.ask("reads")]
    known = f"{scale.runs} runs of {scale.run_steps} steps known"
    return {
        "cached_ms": _figure(cached_ms, "ms", "<= 3"),
        "submit_to_start_p95_ms": _p95(start_ms, "<= 50"),
        "late_submit_to_start_p95_ms": _p95(late_start_ms, note=known),
        "new_list_ms": Figure(reads_ms[0], "ms", note=f"{known}, by an engine just opened"),
        "new_get_ms": Figure(reads_ms[1], "ms", note=f"{known}, by an engine just opened"),
        "list_ms": Figure(reads_ms[2], "ms", target="<= 50", note=known),
        "get_ms": Figure(reads_ms[3], "ms", target="<= 20", note=known),
        "fill_steps_per_s": Figure(scale.runs * scale.run_steps / fill_s, "steps/s", note=f"{known} at its end"),
    }


def _p95(values: Sequence[float], target: str = "", note: str = "") -> Figure:
    return Figure(quantiles(values, n=20)[-1], "ms", tuple(values), target, note)
