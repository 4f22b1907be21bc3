"""What messages offer."""

from __future__ import annotations

from modelpress.errors import nearest


def test_a_near_name_is_offered_else_what_there_is_and_of_many_names_the_first() -> None:
    assert nearest("convv", ["conv", "norm"]) == "did you mean 'conv'?"
    assert nearest("xyz", ["b", "a"]) == "known: a, b"
    assert nearest("xyz", [f"n{i:04}" for i in range(1000)]).endswith("n0039 and 960 more")
    assert nearest("xyz", []) == "there are none"
