"""What the shell completes. Quick, without torch; nothing where there is no home or it cannot be read."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from modelpress.client.client import Client

Offer = tuple[str, str]
"""What may be typed, and what it is."""

MOST = 50
"""Of runs, the newest."""


def complete_run(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Ids of runs, the newest first."""
    return _from_home(ctx, incomplete, _runs)


def complete_step(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Steps of the run that was typed before."""
    run_id = ctx.params.get("run_id") or "last"
    return _from_home(ctx, incomplete, lambda client: _steps(client, run_id))


def complete_ref(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Tags, and the outputs of the last run."""
    return _from_home(ctx, incomplete, _refs)


def complete_tag(ctx: typer.Context, incomplete: str) -> list[Offer]:
    return _from_home(ctx, incomplete, _tags)


def complete_letter(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Ids of dead letters."""
    return _from_home(ctx, incomplete, _letters)


def complete_method(incomplete: str) -> list[Offer]:
    from modelpress.catalogue import load_catalogue

    return _beginning(incomplete, ((info.name, info.summary) for info in load_catalogue()))


def complete_recipe(incomplete: str) -> list[Offer]:
    from modelpress.recipes import list_recipes

    return _beginning(incomplete, ((recipe.name, recipe.title) for recipe in list_recipes()))


def complete_pipeline(incomplete: str) -> list[Offer]:
    """Recipes, pipeline files, and folders to look for some in."""
    paths = (Path(found) for found in sorted(glob.glob(f"{glob.escape(incomplete)}*")))
    files = [(f"{path}/" if path.is_dir() else str(path), "") for path in paths if _may_lead_to_yaml(path)]
    return [*complete_recipe(incomplete), *files]


def complete_status(incomplete: str) -> list[Offer]:
    from modelpress.engine.state import RunStatus

    return _beginning(incomplete, ((str(status), "") for status in RunStatus))


def _may_lead_to_yaml(path: Path) -> bool:
    from modelpress.pipeline.library import FILE_SUFFIXES

    return path.is_dir() or path.suffix in FILE_SUFFIXES


def _runs(client: Client) -> Iterable[Offer]:
    states = client.engine.runs()[:MOST]
    newest = [("last", "the newest run")] if states else []
    return [*newest, *((state.run_id, f"{state.plan.name}, {state.status}") for state in states)]


def _steps(client: Client, run_id: str) -> Iterable[Offer]:
    return ((step.id, step.uses) for step in client.get(run_id).state.plan.steps)


def _tags(client: Client) -> Iterable[Offer]:
    return ((name, "") for name in client.store.tags.names())


def _refs(client: Client) -> Iterable[Offer]:
    newest = client.engine.runs()[:1]
    outputs = [(f"last.{name}", "of the newest run") for state in newest for name in state.outputs]
    return [*_tags(client), *outputs]


def _letters(client: Client) -> Iterable[Offer]:
    return ((letter.id, letter.error.partition("\n")[0]) for letter in client.dead_letters())


def _from_home(ctx: typer.Context, incomplete: str, read: Callable[[Client], Iterable[Offer]]) -> list[Offer]:
    from modelpress.cli import options
    from modelpress.config.settings import load_settings
    from modelpress.errors import ModelpressError

    try:
        given = ctx.params.get("home")
        home = Path(given) if given else load_settings().home
        if not home.is_dir():
            return []
        with options.client(home) as client:
            return _beginning(incomplete, read(client))
    except ModelpressError:  # a prompt is no place for it: the command itself tells what is wrong
        return []


def _beginning(incomplete: str, offers: Iterable[Offer]) -> list[Offer]:
    return [offer for offer in offers if offer[0].startswith(incomplete)]
