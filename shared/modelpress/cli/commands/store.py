"""``push``, ``pull``, ``ls``, ``show``, ``compare``: what is in the store, in and out."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelpress.cli import options, output, tables
from modelpress.errors import InputError

if TYPE_CHECKING:
    from modelpress.catalogue import Kind
    from modelpress.client.refs import Ref

PANEL = "Artifacts"

push = typer.Typer(help="Bring a model or a dataset in.", no_args_is_help=True)


class Shelf(enum.StrEnum):
    """What ``ls`` lists."""

    MODELS = "models"
    DATA = "data"
    PACKAGES = "packages"


def register(app: typer.Typer) -> None:
    app.add_typer(push, name="push", rich_help_panel=PANEL)
    for command in (pull, ls, show, compare):
        app.command(rich_help_panel=PANEL)(command)


@push.command("model")
def push_model(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="MODULE:CALLABLE, called without arguments, returns the module; timm:NAME; or a .pt2 file of "
            "torch.export.save.",
        ),
    ],
    name: Annotated[str, typer.Option("--name", help="Tag to find it by, such as fashion/resnet.")],
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="[NAME=]SHAPE[:DTYPE]",
            help="One sample's shape without the batch, such as 1,28,28; again for each input, such as "
            "tokens=length:int64, where a word is a dimension whose size may change.",
        ),
    ] = None,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Export a model from your own code or read an exported one, check it, and store it."""
    from modelpress.client.samples import parse_sample
    from modelpress.client.sources import is_archive, load_source

    samples = [parse_sample(text) for text in inputs or ()]
    if is_archive(source) and samples:
        raise InputError(f"{source} is an archive, which knows its inputs; leave --input out")
    with options.client(home) as client:
        if is_archive(source):
            pushed = client.push_model(source, name=name)
        else:
            loaded = load_source(source, samples)
            pushed = client.push_model(loaded.net, loaded.example_inputs, name=name, dynamic=loaded.dynamic)
        _tell_pushed(pushed, as_json)


@push.command("data")
def push_data(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="fashion-mnist, a folder of IDX files, or an .npz file.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Tag to find it by (default: the source's own name).")
    ] = None,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Import a dataset, check it, and store it."""
    with options.client(home) as client:
        _tell_pushed(client.push_data(source, name=name), as_json)


def _tell_pushed(ref: Ref, as_json: bool) -> None:
    manifest = ref.manifest()
    if as_json:
        output.emit_json(
            {"name": ref.name, "digest": ref.digest, "kind": str(manifest.kind), "config": manifest.config}
        )
        return
    output.say(f"{ref.name}  {manifest.kind}  {ref.digest}")
    for note in manifest.config.get("notes", []):
        output.say(f"note: {note}", "yellow")


def pull(
    ref: options.Ref,
    to: Annotated[Path, typer.Option("--to", help="The file or folder to write.")],
    format: Annotated[
        str | None, typer.Option("--format", help="modelpress (a folder: graph.json and safetensors) or onnx.")
    ] = None,
    home: options.Home = None,
) -> None:
    """Write an artifact to a file or folder."""
    with options.client(home) as client:
        output.say(f"wrote {client.pull(ref, to, format)}")


def ls(
    shelf: Annotated[Shelf | None, typer.Argument(metavar="models|data|packages", help="Only these.")] = None,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """List what has a name in the store."""
    with options.client(home) as client:
        found = client.artifacts(_kind(shelf))
    if as_json:
        output.emit_json([_entry(a.name, a.digest, a.manifest) for a in found])
    else:
        tables.artifacts(found)


def _kind(shelf: Shelf | None) -> Kind | None:
    from modelpress.catalogue import Kind

    return {None: None, Shelf.MODELS: Kind.MODEL, Shelf.DATA: Kind.DATASET, Shelf.PACKAGES: Kind.PACKAGE}[shelf]


def _entry(name: str, digest: str, manifest: Any) -> dict[str, Any]:
    size = sum(layer.size_bytes for layer in manifest.layers)
    return {"name": name, "digest": digest, "kind": str(manifest.kind), "size_bytes": size}


def show(
    ref: options.Ref,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Show an artifact: parameters, MACs and bytes by layer, what was measured, and what made it."""
    from modelpress.cli import contents
    from modelpress.client.lineage import ancestry

    with options.client(home) as client:
        found = client.artifact(ref)
        shown = client.contents(ref)
        manifest = found.manifest()
        made = ancestry([run.state for run in client.runs()], found.digest)
    if as_json:
        blobs = [layer.model_dump(mode="json") for layer in manifest.layers]
        entry = _entry(found.name, found.digest, manifest)
        parts = {"config": manifest.config, "contents": shown.as_record(), "blobs": blobs}
        output.emit_json({**entry, **parts, "made_by": [m.as_record() for m in made]})
    else:
        contents.artifact(shown, manifest, made)


def compare(
    before: options.Ref,
    after: options.Ref,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Compare two models or two packages: totals with ratios, and the layers that changed."""
    from modelpress.cli import contents

    with options.client(home) as client:
        found = client.compare(before, after)
    if as_json:
        output.emit_json(found.as_record())
    else:
        contents.comparison(found)
