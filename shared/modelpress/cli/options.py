"""Options that many commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from modelpress.errors import InputError

Home = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of runs and artifacts (default: MODELPRESS_HOME, else ~/.modelpress).", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a recipe's parameter or a step's (step.parameter). Repeatable."),
]
Model = Annotated[str | None, typer.Option("--model", help="Model: a tag or digest (default: what the pipeline names).")]
Data = Annotated[str | None, typer.Option("--data", help="Dataset: a tag or digest (default: what the pipeline names).")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything random.")]


def parse_settings(pairs: list[str] | None) -> dict[str, Any]:
    """``["epochs=3", "slim.sparsity=0.5"]`` as a mapping; values are read as YAML scalars.

    Raises:
        InputError: an entry without ``=``, or a value that is no YAML.
    """
    import yaml

    values: dict[str, Any] = {}
    for pair in pairs or []:
        key, equals, raw = pair.partition("=")
        if not key or not equals:
            raise InputError(f"--set {pair}: expected KEY=VALUE, for example --set epochs=3")
        try:
            values[key] = yaml.safe_load(raw)
        except yaml.YAMLError as e:
            raise InputError(f"--set {pair}: '{raw}' is no YAML value") from e
    return values
