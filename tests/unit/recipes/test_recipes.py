"""The recipes that ship: readable, described, and valid with their defaults on the methods that they were made for."""

from __future__ import annotations

import pytest

from modelpress.errors import NotFoundError
from modelpress.recipes import Recipe, list_recipes, load_recipe

RECIPES = list_recipes()


def test_the_demos_recipe_ships() -> None:
    assert "slim-distill-int8" in [recipe.name for recipe in RECIPES]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_recipe_is_described(recipe: Recipe) -> None:
    assert recipe.spec.faults == ()
    assert recipe.title
    assert recipe.doc
    assert all(parameter.description and not parameter.required for parameter in recipe.parameters)
    assert all(reference is None for reference in recipe.spec.inputs.values())
    assert load_recipe(recipe.name) == recipe


def test_an_unknown_recipe_offers_the_nearest() -> None:
    with pytest.raises(NotFoundError, match="did you mean 'slim-distill-int8'"):
        load_recipe("slim-distil-int8")


@pytest.mark.parametrize("name", ["../demo/weights", "", "slim-distill-int8.yaml"])
def test_a_name_is_no_path(name: str) -> None:
    with pytest.raises(NotFoundError):
        load_recipe(name)
