"""Where steps stand in the picture."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from modelpress.report.layout import arrange

DEMO = {
    "model": [],
    "slim": ["model"],
    "recover": ["slim", "model"],
    "pack": ["recover"],
    "dense": ["model"],
    "check": ["pack", "dense"],
    "speed": ["pack", "dense"],
}


def test_the_main_chain_is_one_straight_row() -> None:
    layout = arrange(DEMO, ["model", "slim", "recover", "pack"])
    assert [layout.places[n] for n in ("model", "slim", "recover", "pack")] == [(0, 0), (1, 0), (2, 0), (3, 0)]


def test_side_branches_stand_next_to_their_reader_and_measures_at_the_end() -> None:
    layout = arrange(DEMO, ["model", "slim", "recover", "pack"])
    assert layout.places["dense"] == (3, 1)
    assert {layout.places["check"], layout.places["speed"]} == {(4, 0), (4, 1)}


def test_only_long_edges_get_a_lane() -> None:
    layout = arrange(DEMO, ["model", "slim", "recover", "pack"])
    assert layout.is_long("model", "recover")
    assert not layout.is_long("model", "slim")
    assert layout.lanes == {"model": 0}


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    count = draw(st.integers(1, 9))
    needs: dict[str, list[str]] = {}
    for i in range(count):
        needs[f"s{i}"] = draw(st.lists(st.sampled_from([f"s{j}" for j in range(i)]), unique=True)) if i else []
    return needs


@given(graphs())
def test_no_two_steps_share_a_place_and_edges_lead_right(needs: dict[str, list[str]]) -> None:
    layout = arrange(needs, [])
    assert len(set(layout.places.values())) == len(needs)
    assert all(layout.places[s][0] < layout.places[n][0] for n, sources in needs.items() for s in sources)
    long_edges = {s for n, sources in needs.items() for s in sources if layout.is_long(s, n)}
    assert set(layout.lanes) == long_edges
