"""A home in order: ``gc``, ``du``, ``verify``; runs out to a file and in again."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelpress.cli import options, output

if TYPE_CHECKING:
    from modelpress.artifacts.gc import Collected
    from modelpress.artifacts.usage import Usage
    from modelpress.artifacts.verify import Damage, Progress

PANEL = "Upkeep"
WHY = {
    "tag": "a tag leads to it",
    "run": "input or output of a run that is listed",
    "cache": "result of a step: a cache hit while it lasts",
    "nothing": "being written, or younger than the grace",
}


def register(app: typer.Typer) -> None:
    for command in (gc, du, verify):
        app.command(rich_help_panel=PANEL)(command)
    app.command("export-run", rich_help_panel=PANEL)(export_run)
    app.command("import-run", rich_help_panel=PANEL)(import_run)


def gc(
    grace: Annotated[str, typer.Option("--grace", metavar="TIME", help="Younger things stay: 30m, 12h, 1d.")] = "1d",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go.")] = False,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Free what no tag, no listed run and no result leads to. Safe while runs write."""
    grace_s = options.parse_duration(grace)
    with options.client(home) as client:
        collected = client.gc(grace_s=grace_s, dry_run=dry_run)
        if as_json:
            output.emit_json(dataclasses.asdict(collected))
        else:
            _tell_collected(collected, grace, client.du())


def _tell_collected(collected: Collected, grace: str, kept: Usage) -> None:
    from modelpress.report import format as fmt

    counts = [(collected.blobs, "blob"), (collected.results, "step result"), (collected.slots, "checkpoint")]
    gone = ", ".join(_count(len(found), word) for found, word in counts if found) or "nothing to free"
    verb = "would free" if collected.dry_run else "freed"
    output.say(f"{verb} {fmt.size(collected.freed_bytes)}: {gone}", "bold")
    young = f", {collected.young:,} of them only because they are younger than {grace}" if collected.young else ""
    output.say(f"keeps {fmt.size(collected.kept_bytes)} in {_count(collected.kept_blobs, 'blob')}{young}")
    if not collected.dry_run:
        rows = [[WHY[keeper], fmt.size(size)] for keeper, size in kept.by_keeper().items()]
        output.table(["kept because", "size"], rows, right=["size"])
    if collected.damaged:
        damaged = _count(len(collected.damaged), "artifact")
        output.say(f"warning: {damaged} of runs are missing or corrupt; modelpress verify names them", "yellow")


def du(home: options.Home = None, as_json: options.Json = False) -> None:
    """Show what takes the space, by kind of artifact and by what keeps it; shared bytes count once."""
    from modelpress.report import format as fmt

    with options.client(home) as client:
        found = client.du()
    if as_json:
        output.emit_json({**dataclasses.asdict(found), "total_bytes": found.total_bytes})
        return
    rows = [[s.kind, WHY[s.keeper], f"{s.blobs:,}", fmt.size(s.size_bytes)] for s in found.shares]
    rows.append(["checkpoints", "of training that may go on", "", fmt.size(found.checkpoint_bytes)])
    rows.append(["leftovers", "corrupt, or of writers that died", "", fmt.size(found.leftover_bytes)])
    output.table(["kind", "kept because", "blobs", "size"], rows, right=["blobs", "size"])
    output.say(f"{fmt.size(found.total_bytes)} in all", "bold")


def verify(home: options.Home = None, as_json: options.Json = False) -> None:
    """Read every blob and check its digest; exit 1 where something that is needed is damaged."""
    with options.client(home) as client, _progress() as progress:
        found = client.verify(progress)
    if as_json:
        output.emit_json([dataclasses.asdict(damage) | {"advice": damage.advice} for damage in found])
    elif found:
        output.table(["blob", "is", "needed by", "what to do"], [_damage(damage) for damage in found])
    else:
        output.say("every blob is whole", "green")
    if found:
        raise typer.Exit(1)


@contextmanager
def _progress() -> Iterator[Progress | None]:
    """A bar on a terminal's standard error, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _damage(damage: Damage) -> list[str]:
    from modelpress.report import format as fmt

    runs = [f"run {run}" for run in damage.runs]
    needed = [*damage.tags, *runs, *(f"result {key[:12]}" for key in damage.results)]
    return [fmt.short(damage.blob), damage.problem, ", ".join(needed) or "nothing", damage.advice]


def export_run(
    run_id: options.RunId,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write (a tar).")],
    home: options.Home = None,
) -> None:
    """Write a run with all its artifacts, results and logs as one file, for another home or to keep."""
    from modelpress.report import format as fmt

    with options.client(home) as client:
        path = client.get(run_id).export(file)
    output.say(f"wrote {path}  {fmt.size(path.stat().st_size)}")


def import_run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that export-run wrote.")],
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Take in a run from such a file; every byte is verified first, and nothing is half imported."""
    with options.client(home) as client:
        brought = client.import_run(file)
    facts: dict[str, Any] = {"run_id": brought.id}
    if as_json:
        output.emit_json(facts)
    else:
        output.say(f"imported {brought.id}: modelpress get {brought.id} shows it")


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
