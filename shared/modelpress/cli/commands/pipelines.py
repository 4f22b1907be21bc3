"""``recipes``, ``validate``, ``plan``: what ships, what is wrong, what would happen. No torch."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelpress.cli import options, output

if TYPE_CHECKING:
    from modelpress.pipeline.plan import Plan
    from modelpress.recipes import Recipe

PANEL = "Pipelines"


def register(app: typer.Typer) -> None:
    for command in (validate, plan, recipes):
        app.command(rich_help_panel=PANEL)(command)


def recipes(
    name: Annotated[str | None, typer.Argument(help="A recipe; all when omitted.")] = None,
    as_json: options.Json = False,
) -> None:
    """List the pipelines that ship, or show one: its parameters and its YAML to copy."""
    from modelpress.recipes import list_recipes, load_recipe

    if name is None:
        found = list_recipes()
        if as_json:
            output.emit_json([describe(recipe) for recipe in found])
        else:
            output.table(["recipe", "does"], [[r.name, r.doc] for r in found])
        return
    recipe = load_recipe(name)
    if as_json:
        output.emit_json(describe(recipe))
        return
    output.say(f"{recipe.name}: {recipe.title}", "bold")
    output.say(recipe.doc)
    rows = [[p.name, "required" if p.required else str(p.default), p.description] for p in recipe.parameters]
    output.table(["parameter (--set)", "default", "about"], rows)
    output.say(recipe.text)


def describe(recipe: Recipe) -> dict[str, Any]:
    """The facts of a recipe as JSON; ``pipeline`` is its YAML."""
    parameters = [
        {"name": p.name, "default": p.default, "required": p.required, "description": p.description}
        for p in recipe.parameters
    ]
    facts = {"name": recipe.name, "title": recipe.title, "doc": recipe.doc}
    return {**facts, "parameters": parameters, "pipeline": recipe.text}


def validate(pipeline: options.Pipeline, settings: options.Settings = None, as_json: options.Json = False) -> None:
    """Check a pipeline; every fault is shown with its path and line. Exit code 2 when there is one."""
    from modelpress.errors import SpecError

    try:
        made = _plan(pipeline, None, None, settings, None)
    except SpecError as e:
        if not as_json:
            raise
        output.emit_json({"valid": False, "faults": [dataclasses.asdict(fault) for fault in e.violations]})
        raise typer.Exit(2) from None
    if as_json:
        output.emit_json({"valid": True, "name": made.name, "steps": [step.id for step in made.steps]})
    else:
        output.say(f"{pipeline} is valid: {made.name}, {len(made.steps)} steps", "green")


def plan(
    pipeline: options.Pipeline,
    model: options.Model = None,
    data: options.Data = None,
    settings: options.Settings = None,
    seed: options.Seed = None,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Show what would run: inputs resolved, every default filled; what an x-ray found not to pay. Nothing runs."""
    from modelpress.catalogue import load_catalogue
    from modelpress.pipeline.render import render_plan

    made = _plan(pipeline, model, data, settings, seed)
    if as_json:
        output.emit_json(made.model_dump(mode="json"))
    else:
        output.say(render_plan(made, load_catalogue()))
        for line in _advice(made, model, home):
            output.say(f"warning: {line}", "yellow")


def _advice(plan: Plan, model: str | None, home: Path | None) -> list[str]:
    """What an x-ray on this machine found not to pay; a model that is not there yet has had none."""
    from modelpress.errors import NotFoundError
    from modelpress.xray.targets import advice

    if model is None:
        return []
    with options.client(home) as client:
        try:
            digest = client.artifact(model).digest
        except NotFoundError:
            return []
        return advice(client.store, plan, digest, client.catalogue)


def _plan(pipeline: str, model: str | None, data: str | None, settings: list[str] | None, seed: int | None) -> Plan:
    from modelpress.catalogue import load_catalogue
    from modelpress.client.pipelines import load_pipeline
    from modelpress.pipeline.validate import validate as make_plan

    given = {name: ref for name, ref in (("model", model), ("data", data)) if ref}
    values = options.parse_settings(settings)
    return make_plan(load_pipeline(pipeline), load_catalogue(), given, values, seed=seed, require_inputs=False)
