"""Every registered method keeps what descriptions promise, and the checks catch those that do not.

Paper: none (the methods that are broken on purpose below are described in this module).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import entry_points
from typing import Any

import pytest
from pydantic import ConfigDict, Field

from modelpress.catalogue import DATA, GROUP, MODEL, Kind, MethodInfo, MethodParams, Port, load_catalogue
from modelpress.pipeline.spec import parse_pipeline
from modelpress.pipeline.validate import validate
from modelpress.recipes import Recipe, list_recipes
from modelpress.testing import methods
from tests.unit.pipeline.fakes import EXAMPLE

CATALOGUE = load_catalogue()


@pytest.mark.parametrize("check", methods.METHOD_CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("info", tuple(CATALOGUE), ids=lambda info: info.name)
def test_method(info: MethodInfo, check: Callable[[MethodInfo], None]) -> None:
    check(info)


@pytest.mark.parametrize("recipe", list_recipes(), ids=lambda recipe: recipe.name)
def test_recipe_is_valid_with_its_defaults(recipe: Recipe) -> None:
    plan = validate(recipe.spec, CATALOGUE, dict.fromkeys(recipe.spec.inputs, "given"))
    assert len(plan.steps) == len(recipe.spec.steps)


def test_the_designs_example_is_valid_on_the_registered_methods() -> None:
    assert [step.id for step in validate(parse_pipeline(EXAMPLE), CATALOGUE).steps][-1] == "check"


def test_services_register_methods_of_their_own_name_once() -> None:
    registered = [(point.name, info) for point in entry_points(group=GROUP) for info in point.load()]
    assert [info.name for service, info in registered if info.service != service] == []
    assert sorted(info.name for _, info in registered) == CATALOGUE.names()


def test_descriptions_import_nothing_heavy() -> None:
    statement = "from modelpress.catalogue import load_catalogue\nlist(load_catalogue())"
    assert methods.heavy_imports(statement) == []


def test_planning_imports_nothing_heavy() -> None:
    modules = "modelpress.pipeline.validate, modelpress.pipeline.render, modelpress.recipes"
    assert methods.heavy_imports(f"import {modules}\nmodelpress.recipes.list_recipes()") == []


def test_a_heavy_import_is_seen() -> None:
    assert methods.heavy_imports("import safetensors") == ["safetensors"]


class Good(MethodParams):
    share: float = Field(0.5, gt=0, lt=1, description="Of what goes.")


class Silent(MethodParams):
    share: float = 0.5


class Lenient(Good):
    model_config = ConfigDict(extra="allow")


class BadDefault(MethodParams):
    share: float = Field(1.5, gt=0, lt=1, description="Of what goes.")


class Endless(MethodParams):
    share: float = Field(float("inf"), description="Of what goes.")


def kernel(model: object, data: object, params: object, job: object, extra: object = None) -> Mapping[str, Any]:
    return {}


GOOD = MethodInfo("pruner/good", Good, f"{__name__}:kernel", "Does good.")


@pytest.mark.parametrize(
    ("check", "fault"),
    [
        (methods.check_name, {"name": "pruner-good"}),
        (methods.check_name, {"name": "Pruner/good"}),
        (methods.check_name, {"version": 0}),
        (methods.check_name, {"metrics": {"top-1": "percent"}}),
        (methods.check_name, {"inputs": {"job": MODEL}}),
        (methods.check_summary, {"summary": ""}),
        (methods.check_summary, {"summary": "No full stop"}),
        (methods.check_summary, {"summary": "Two\nlines."}),
        (methods.check_paper, {"params": MethodParams}),
        (methods.check_artifacts, {"outputs": {}}),
        (methods.check_artifacts, {"produces": frozenset()}),
        (methods.check_artifacts, {"inputs": {"net": MODEL}}),
        (methods.check_artifacts, {"inputs": {"model": Port(Kind.MODEL, frozenset())}}),
        (methods.check_metrics, {"metrics": {"top1": " "}}),
        (methods.check_parameters, {"params": Silent}),
        (methods.check_parameters, {"params": Lenient}),
        (methods.check_kernel, {"run": "kernels"}),
        (methods.check_kernel, {"run": f"{__name__}:CATALOGUE"}),
        (methods.check_kernel, {"inputs": {"model": MODEL, "teacher": MODEL, "data": DATA}}),
        (methods.check_kernel, {"inputs": {"model": MODEL}}),
        (methods.check_kernel, {"inputs": {"model": MODEL, "data": Port(Kind.DATASET, optional=True)}}),
    ],
)
def test_a_check_catches(check: Callable[[MethodInfo], None], fault: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        check(replace(GOOD, **fault))


@pytest.mark.parametrize("params", [BadDefault, Endless])
def test_defaults_that_do_not_work_are_caught(params: type[MethodParams]) -> None:
    with pytest.raises(ValueError, match=r"less than 1|Out of range"):
        methods.check_defaults(replace(GOOD, params=params))


@pytest.mark.parametrize("check", methods.METHOD_CHECKS)
def test_a_good_method_passes(check: Callable[[MethodInfo], None]) -> None:
    check(GOOD)
