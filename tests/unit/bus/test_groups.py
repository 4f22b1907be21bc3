from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from modelpress.bus.groups import share_out

names = st.sampled_from("abcdef")


@given(st.integers(1, 12), st.sets(names, min_size=1), st.dictionaries(st.integers(0, 11), names))
def test_shares_are_whole_even_and_keep_what_they_can(count: int, members: set[str], owners: dict[int, str]) -> None:
    partitions = list(range(count))
    owners = {p: owner for p, owner in owners.items() if p < count}
    shares = share_out(partitions, members, owners)
    sizes = Counter(dict.fromkeys(members, 0))
    sizes.update(shares.values())
    assert set(shares) == set(partitions)
    assert set(shares.values()) <= members
    assert max(sizes.values()) - min(sizes.values()) <= 1
    for member in members:
        had = {p for p, owner in owners.items() if owner == member}
        has = {p for p, owner in shares.items() if owner == member}
        assert had <= has or has <= had


def test_even_shares_stay_as_they_are() -> None:
    owners = {0: "a", 1: "b", 2: "b"}
    assert share_out([0, 1, 2], ["a", "b"], owners) == owners


def test_nobody_owns_anything_where_nobody_is() -> None:
    assert share_out([0, 1], [], {0: "a"}) == {}


def test_a_member_that_comes_back_alone_changes_nothing() -> None:
    assert share_out([0, 1, 2], ["a"], {0: "a", 1: "a", 2: "a"}) == {0: "a", 1: "a", 2: "a"}
