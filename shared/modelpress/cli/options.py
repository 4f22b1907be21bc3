"""Options that many commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelpress.cli import completion

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
Model = Annotated[
    str | None,
    typer.Option("--model", help="Tag or digest of the model to compress.", autocompletion=completion.complete_tag),
]
Data = Annotated[
    str | None, typer.Option("--data", help="Tag or digest of the dataset.", autocompletion=completion.complete_tag)
]
Priority = Annotated[
    int, typer.Option("--priority", help="Steps of a run with a higher priority get places first.", show_default=True)
]
Seed = Annotated[
    int | None, typer.Option("--seed", help="Seed of everything random (default: the pipeline's, else 0).")
]
Pipeline = Annotated[
    str,
    typer.Argument(
        metavar="FILE|RECIPE",
        help="A pipeline file (.yaml) or a recipe's name.",
        autocompletion=completion.complete_pipeline,
    ),
]
RUN_HELP = "A run's id, the beginning of one, or 'last'."
RunId = Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP, autocompletion=completion.complete_run)]


Ref = Annotated[
    str,
    typer.Argument(
        metavar="REF", help="A tag, a digest, or RUN.OUTPUT such as last.model.", autocompletion=completion.complete_ref
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


UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def parse_duration(text: str) -> float:
    """Seconds of ``90s``, ``30m``, ``12h``, ``1d``; a number alone is seconds.

    Raises:
        InputError: it is none of these.
    """
    from modelpress.errors import InputError

    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS else (text, "s")
    if not re.fullmatch(r"\d{1,9}(\.\d{1,3})?", number, re.ASCII):
        raise InputError(f"'{text}' is no duration: expected a number with s, m, h or d, such as 30m or 1d")
    return float(number) * UNITS[unit]
