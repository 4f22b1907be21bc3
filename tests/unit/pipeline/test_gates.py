"""Conditions of gates."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelpress.errors import InputError
from modelpress.pipeline.gates import Condition, parse_condition


@pytest.mark.parametrize(
    ("text", "passes", "fails"),
    [
        ("<= 0.5", (0.5, -1.0, -math.inf), (0.51, math.inf)),
        ("< 0.5", (0.49,), (0.5,)),
        (">=10", (10.0, math.inf), (9.99,)),
        ("  > -1e-3 ", (0.0,), (-1e-3,)),
        ("== 3", (3.0,), (3.0000001,)),
    ],
)
def test_holds(text: str, passes: tuple[float, ...], fails: tuple[float, ...]) -> None:
    condition = parse_condition(text)
    assert all(condition.holds(value) for value in passes)
    assert not any(condition.holds(value) for value in fails)


@pytest.mark.parametrize("operator", ["<=", "<", ">=", ">", "=="])
def test_nan_opens_no_gate(operator: str) -> None:
    assert not Condition(operator, 0.0).holds(math.nan)


@pytest.mark.parametrize("text", ["", "0.5", "<=", "=< 1", "!= 1", "<= one", "<= nan", "> inf", "<= 0.5 %", "<= 1 2"])
def test_no_condition(text: str) -> None:
    with pytest.raises(InputError, match="is no condition"):
        parse_condition(text)


@given(st.sampled_from(["<=", "<", ">=", ">", "=="]), st.floats(allow_nan=False, allow_infinity=False))
def test_text_of_a_condition_reads_back(operator: str, threshold: float) -> None:
    condition = Condition(operator, threshold)
    assert parse_condition(str(condition)) == condition


def test_text_is_short() -> None:
    assert str(parse_condition("<=0.50")) == "<= 0.5"
    assert str(parse_condition(">= 10")) == ">= 10"
