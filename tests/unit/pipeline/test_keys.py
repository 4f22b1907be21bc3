"""Step keys: equal for equal work, different for everything that can change the result."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelpress.pipeline.keys import step_key
from tests.unit.pipeline.fakes import plan_of, step

A = "sha256:" + "a" * 64
B = "sha256:" + "b" * 64
WORK: dict[str, Any] = {
    "tenant": "default",
    "method": "pruner/l1-filter",
    "version": 1,
    "params": {"sparsity": 0.5, "multiple": 8},
    "inputs": {"model": A, "data": B},
    "seed": 0,
    "threads": 2,
    "extra": {},
}

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def _reversed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reversed(value[key]) for key in reversed(value)}
    return [_reversed(entry) for entry in value] if isinstance(value, list) else value


@given(st.dictionaries(st.text(), _VALUES, max_size=5))
def test_the_order_of_keys_does_not_matter(params: dict[str, Any]) -> None:
    assert step_key(**WORK | {"params": params}) == step_key(**WORK | {"params": _reversed(params)})


def test_a_key_is_64_hex_characters_and_does_not_move() -> None:
    key = step_key(**WORK)
    assert re.fullmatch("[0-9a-f]{64}", key)
    assert key == "5c7847cd34b93ee9f5b94d59a84d887eed74ef3d4c59c84684fefae6e6b092a1"


@pytest.mark.parametrize(
    "change",
    [
        {"tenant": "other"},
        {"method": "decomposer/l1-filter"},
        {"version": 2},
        {"params": {"sparsity": 0.5, "multiple": 4}},
        {"params": {"sparsity": 0.5}},
        {"inputs": {"model": B, "data": A}},
        {"inputs": {"model": A}},
        {"seed": 1},
        {"threads": 1},
        {"extra": {"target": "fingerprint"}},
    ],
)
def test_whatever_changes_the_result_changes_the_key(change: dict[str, Any]) -> None:
    assert step_key(**WORK | change) != step_key(**WORK)


def test_numbers_keep_their_type() -> None:
    assert step_key(**WORK | {"params": {"n": 1}}) != step_key(**WORK | {"params": {"n": 1.0}})
    assert step_key(**WORK | {"params": {"n": 1}}) != step_key(**WORK | {"params": {"n": True}})


def test_how_a_user_writes_a_number_does_not_matter() -> None:
    plans = [plan_of(step("k", "distiller/kd", **{"with": {"temperature": t, "epochs": 3}})) for t in (4, 4.0, "4")]
    keys = {step_key(**WORK | {"params": plan.steps[0].params}) for plan in plans}
    assert len(keys) == 1


def test_a_plan_that_travelled_as_json_has_the_same_key() -> None:
    plan = plan_of(step("k", "distiller/kd", **{"with": {"temperature": 4, "alpha": 1}}))
    there_and_back = type(plan).model_validate_json(plan.model_dump_json())
    assert step_key(**WORK | {"params": there_and_back.steps[0].params}) == step_key(
        **WORK | {"params": plan.steps[0].params}
    )


def test_what_json_cannot_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        step_key(**WORK | {"params": {"x": float("nan")}})
