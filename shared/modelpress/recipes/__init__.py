"""Pipelines that ship with modelpress, by name."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

from modelpress.errors import NotFoundError, nearest
from modelpress.pipeline.spec import Parameter, PipelineSpec, parse_pipeline

_SUFFIX = ".yaml"


@dataclass(frozen=True)
class Recipe:
    """A pipeline with parameters whose inputs the run gives. ``text`` is its YAML, to be read and copied."""

    name: str
    title: str
    doc: str
    parameters: tuple[Parameter, ...]
    spec: PipelineSpec
    text: str


def list_recipes() -> tuple[Recipe, ...]:
    """Every recipe, sorted by name."""
    return tuple(load_recipe(name) for name in _names())


def load_recipe(name: str) -> Recipe:
    """The recipe called ``name``.

    Raises:
        NotFoundError: there is none; offers the nearest.
    """
    names = _names()
    if name not in names:
        raise NotFoundError(f"there is no recipe '{name}': {nearest(name, names)}")
    text = (resources.files(__name__) / f"{name}{_SUFFIX}").read_text(encoding="utf-8")
    spec = parse_pipeline(text, f"recipe {name}")
    return Recipe(spec.name, spec.title, spec.description, spec.parameters, spec, text)


def _names() -> list[str]:
    files = (entry.name for entry in resources.files(__name__).iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in files if name.endswith(_SUFFIX))
