"""Positions along composed dimensions on cases worked out by hand."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from modelpress.graph.axes.expr import Atom, Expr, Product, Sum, atoms
from modelpress.graph.axes.indices import copies, kept, kept_size, positions


def test_a_channel_owns_its_run_of_columns() -> None:
    channels = Atom(3)
    flat = Product([channels, Atom(2)])
    assert kept(flat, {channels: torch.tensor([0, 2])}).tolist() == [0, 1, 4, 5]
    assert positions(flat, channels).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert copies(flat, channels) == 2


def test_the_same_element_of_each_head() -> None:
    width = Atom(3)
    flat = Product([Atom(2), width])
    assert kept(flat, {width: torch.tensor([1])}).tolist() == [1, 4]
    assert positions(flat, width).tolist() == [[0, 3], [1, 4], [2, 5]]


def test_segments_are_offset() -> None:
    a, b = Atom(2), Atom(3)
    expr = Sum([a, b, a])
    assert kept(expr, {a: torch.tensor([1]), b: torch.tensor([0, 2])}).tolist() == [1, 2, 4, 6]
    assert positions(expr, a).tolist() == [[0, 5], [1, 6]]
    assert positions(expr, Atom(4)).shape == (4, 0)


EXPRESSIONS = st.recursive(
    st.integers(1, 4).map(Atom),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(Product), st.lists(inner, min_size=2, max_size=3).map(Sum)
    ),
    max_leaves=5,
)


@given(EXPRESSIONS, st.data())
def test_what_stays_and_what_belongs_to_the_rest_are_complements(expr: Expr, data: st.DataObject) -> None:
    atom = data.draw(st.sampled_from(atoms(expr)))
    stay = data.draw(st.sets(st.integers(0, atom.size - 1), min_size=1).map(sorted))
    gone = [i for i in range(atom.size) if i not in stay]
    owned = positions(expr, atom)
    left = kept(expr, {atom: torch.tensor(stay)})
    assert owned.shape == (atom.size, copies(expr, atom))
    assert sorted([*left.tolist(), *owned[gone].flatten().tolist()]) == list(range(expr.size))
    assert kept_size(expr, {atom: torch.tensor(stay)}) == len(left)
