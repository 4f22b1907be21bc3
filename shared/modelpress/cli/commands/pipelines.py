"""``recipes``, ``validate``, ``plan``, ``schema``: what ships, what is wrong, what would happen. No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelpress.cli import completion, options, output, tables

if TYPE_CHECKING:
    from modelpress.catalogue import Catalogue
    from modelpress.pipeline.foresee import Foresight
    from modelpress.pipeline.plan import Plan
    from modelpress.recipes import Recipe

PANEL = "Pipelines"


def register(app: typer.Typer) -> None:
    for command in (validate, plan, recipes, schema):
        app.command(rich_help_panel=PANEL)(command)


def recipes(
    name: Annotated[
        str | None,
        typer.Argument(metavar="RECIPE", help="A recipe; all when omitted.", autocompletion=completion.complete_recipe),
    ] = None,
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
    """Check a pipeline; every fault is shown with its path, line and column. Exit code 2 when there is one."""
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
    details: Annotated[bool, typer.Option("--details", help="Every parameter, output and need of each step.")] = False,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Show what would run: what each step reads, costs, and finds in the cache; what does not pay. Nothing runs."""
    from modelpress.catalogue import load_catalogue
    from modelpress.pipeline.render import render_plan

    made = _plan(pipeline, model, data, settings, seed)
    catalogue = load_catalogue()
    seen = _look_ahead(made, catalogue, home)
    if as_json:
        output.emit_json(_planned(made, catalogue, seen))
        return
    output.say(f"{made.name}, seed {made.seed}, {len(made.steps):,} steps", "bold")
    for name, ref in made.inputs.items():
        output.say(f"inputs.{name} = {ref or 'to be given'}  {seen.digests.get(name, '')}".rstrip())
    tables.plan(made, catalogue, seen.foreseen)
    if details:
        output.say(render_plan(made, catalogue))
    for line in seen.advice:
        output.say(f"warning: {line}", "yellow")


@dataclasses.dataclass(frozen=True)
class Ahead:
    """What a home tells of a plan: digests of its inputs, what is in the cache, what an x-ray found not to pay."""

    digests: Mapping[str, str] = dataclasses.field(default_factory=dict)
    foreseen: Mapping[str, Foresight] = dataclasses.field(default_factory=dict)
    advice: Sequence[str] = dataclasses.field(default_factory=list)


def _look_ahead(plan: Plan, catalogue: Catalogue, home: Path | None) -> Ahead:
    """What the store tells; nothing where there is no home: a look makes none."""
    from modelpress.client.foresight import foresee, known_inputs
    from modelpress.config.settings import load_settings
    from modelpress.engine.home import TENANT, Home
    from modelpress.xray.targets import advice

    settings = load_settings()
    folder = home or settings.home
    if not folder.is_dir():
        return Ahead()
    store = Home(folder).open_store()
    digests = known_inputs(store, plan)
    warnings = advice(store, plan, digests["model"], catalogue) if "model" in digests else []
    return Ahead(digests, foresee(store, plan, TENANT, settings.threads), warnings)


def _planned(plan: Plan, catalogue: Catalogue, seen: Ahead) -> dict[str, Any]:
    """A plan as JSON, each step with its cost class and what is foreseen of it."""
    record = plan.model_dump(mode="json")
    for step in record["steps"]:
        step |= {"cost": str(catalogue[step["uses"]].cost), "foreseen": seen.foreseen.get(step["id"], "unknown")}
    return {**record, "digests": dict(seen.digests), "advice": list(seen.advice)}


def schema() -> None:
    """Print the JSON Schema of pipelines, for editors."""
    from modelpress.catalogue import load_catalogue
    from modelpress.pipeline.schema import pipeline_schema

    output.emit_json(pipeline_schema(load_catalogue()))


def _plan(pipeline: str, model: str | None, data: str | None, settings: list[str] | None, seed: int | None) -> Plan:
    from modelpress.catalogue import load_catalogue
    from modelpress.client.pipelines import load_pipeline
    from modelpress.pipeline.validate import validate as make_plan

    given = {name: ref for name, ref in (("model", model), ("data", data)) if ref}
    values = options.parse_settings(settings)
    return make_plan(load_pipeline(pipeline), load_catalogue(), given, values, seed=seed, require_inputs=False)
