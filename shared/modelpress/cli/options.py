"""Options that many commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from modelpress.client.client import Client

Home = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of runs and artifacts (default: MODELPRESS_HOME, else ~/.modelpress)."),
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Set a parameter of the pipeline; repeat for more."),
]
Model = Annotated[str | None, typer.Option("--model", help="Tag or digest of the model to compress.")]
Data = Annotated[str | None, typer.Option("--data", help="Tag or digest of the dataset.")]
Seed = Annotated[
    int | None, typer.Option("--seed", help="Seed of everything random (default: the pipeline's, else 0).")
]
Pipeline = Annotated[str, typer.Argument(metavar="FILE|RECIPE", help="A pipeline file (.yaml) or a recipe's name.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, the beginning of one, or 'last'.")]


def complete_ref(incomplete: str) -> list[str]:
    """Names of the default home that begin with what was typed, for the shell; none where there is no home."""
    from modelpress.config.settings import load_settings

    if not load_settings().home.is_dir():
        return []
    with client(None) as found:
        names = [*found.store.tags.names(), *("last.model", "last.package")]
    return [name for name in names if name.startswith(incomplete)]


Ref = Annotated[
    str,
    typer.Argument(
        metavar="REF", help="A tag, a digest, or RUN.OUTPUT such as last.model.", autocompletion=complete_ref
    ),
]


def client(home: Path | None) -> Client:
    """The embedded client of ``home``."""
    from modelpress.client.client import connect

    return connect(home=home)


def parse_settings(pairs: list[str] | None) -> dict[str, Any]:
    """``["epochs=3", "sparsity=0.5"]`` as a mapping; a name that comes twice has its last value.

    Raises:
        InputError: an entry is no NAME=VALUE.
    """
    from modelpress.pipeline.parameters import parse_setting

    return dict(parse_setting(pair) for pair in pairs or [])
