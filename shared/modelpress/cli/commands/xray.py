"""``xray``: what compression will bring to a model on this machine, before any data or training."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelpress.cli import options, output
from modelpress.errors import InputError

if TYPE_CHECKING:
    from modelpress.client.client import Client
    from modelpress.client.xraying import Request
    from modelpress.xray.findings import XRay

MOST_REASONS = 5


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="Start here")(xray)


def xray(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="MODULE:CALLABLE, called without arguments, returns the module; timm:NAME; a .pt2 file; or the tag or "
            "digest of a pushed model.",
        ),
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="[NAME=]SHAPE[:DTYPE]",
            help="One sample's shape without the batch, as for push model; again for each input.",
        ),
    ] = None,
    batches: Annotated[
        list[int] | None, typer.Option("--batch", help="Samples in one call; again for more (default: 1 and 64).")
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", help="Of the runtime (default: all cores).")] = None,
    budget_s: Annotated[
        float, typer.Option("--budget-s", help="Seconds to build and measure in; what does not fit is named.")
    ] = 60.0,
    html: Annotated[Path, typer.Option("--html", help="The page to write.")] = Path("xray.html"),
    target: Annotated[str, typer.Option("--target", help="Where to measure; 'local' is this machine.")] = "local",
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """See what int8 and less width bring to a model on this machine. Needs no data, trains nothing."""
    from modelpress.client.export import save_file
    from modelpress.client.xraying import xray as take_xray
    from modelpress.xray.page import render
    from modelpress.xray.take import Options
    from modelpress.xray.targets import check_target

    check_target(target)
    with options.client(home) as client:
        wanted = Options(tuple(batches or (1, 64)), client.settings.threads if threads is None else threads, budget_s)
        request = _request(client, source, tuple(inputs or ()))
        found = take_xray(client, request, wanted, target, output.complain)
    written = save_file(render(found).encode(), html)
    if as_json:
        output.emit_json(dataclasses.asdict(found))
    else:
        _tell(found, written)


def _request(client: Client, source: str, inputs: tuple[str, ...]) -> Request:
    from modelpress.client.samples import parse_sample
    from modelpress.client.sources import is_archive, load_source
    from modelpress.client.xraying import Request

    samples = [parse_sample(text) for text in inputs]
    if ":" in source and not source.startswith("sha256:") and not is_archive(source):
        loaded = load_source(source, samples, pretrained=False)
        return Request(loaded.net, loaded.example_inputs, loaded.dynamic, source, inputs)
    if samples:
        raise InputError(f"'{source}' knows its inputs; leave --input out")
    return Request(Path(source) if is_archive(source) else client.artifact(source), source=source)


def _tell(found: XRay, written: Path) -> None:
    from modelpress.cli.candidates import candidates_table

    output.say(found.verdict, "bold")
    if found.noisy:
        output.say(f"noisy: {found.noisy}; the figures are to be taken with care", "yellow")
    candidates_table(found.candidates)
    for one in found.skipped:
        output.say(f"left out: {one.name}: {one.why}", "dim")
    for warning in found.warnings:
        output.say(f"warning: {warning}", "yellow")
    _structure(found)
    output.say(f"page     {written}")
    output.say(f"next     {found.next_command}")


def _structure(found: XRay) -> None:
    """What can be pruned, what holds the rest and where, and what the export does not carry."""
    from modelpress.xray.findings import ALL_CARRIED
    from modelpress.xray.sections.axes import percent
    from modelpress.xray.sections.frozen import reasons

    counts = f"{len(found.axes)} can shrink, {len(found.frozen)} are frozen"
    output.say(f"{percent(found.prunable_share)} of the weights can be pruned; axes: {counts}")
    held = reasons(found.frozen)
    for r in held[:MOST_REASONS]:
        many = f" ({len(r.axes)} axes)" if len(r.axes) > 1 else ""
        output.say(f"frozen   {r.axes[0]}{many} by {r.why}{f', {r.line}' if r.line else ''}", "dim")
    if len(held) > MOST_REASONS:
        output.say(f"frozen   {len(held) - MOST_REASONS} more reasons are on the page", "dim")
    for note in found.notes:
        output.say(f"not carried by the export: {note}", "yellow")
    if not found.notes:
        output.say(f"not carried by the export: {ALL_CARRIED}", "dim")
