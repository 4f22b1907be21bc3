"""The algebra of dimensions on cases worked out by hand."""

from __future__ import annotations

import pytest

from modelpress.graph.axes.expr import (
    Atom,
    Product,
    Sum,
    atoms,
    constant,
    freeze,
    mark_inexact,
    product,
    resolve,
    total,
)
from modelpress.graph.axes.unify import cut, regroup, split, unify


def sizes(expr: object) -> list[int]:
    return [atom.size for atom in atoms(expr)]  # type: ignore[arg-type]


def test_two_atoms_become_one_with_both_marks() -> None:
    a, b = Atom(4), Atom(4)
    freeze(a, "input")
    mark_inexact(b, "mean")
    unify(a, b, "here")
    (only,) = set(atoms(a)) | set(atoms(b))
    assert (only.frozen, only.inexact) == ("input", "mean")


def test_the_first_reason_stays() -> None:
    a = Atom(4)
    freeze(a, "input")
    freeze(a, "output")
    assert a.frozen == "input"


def test_unequal_sizes_freeze_both() -> None:
    a, b = Atom(4), Atom(5)
    unify(a, b, "here")
    assert (a.frozen, b.frozen) == ("here", "here")


def test_an_atom_takes_the_structure_of_what_it_meets_and_passes_its_marks_on() -> None:
    heads, width, whole = Atom(2), Atom(8), Atom(16)
    freeze(whole, "output")
    unify(whole, Product([heads, width]), "here")
    assert atoms(whole) == [heads, width]
    assert heads.frozen == width.frozen == "output"


def test_an_atom_is_never_bound_to_itself() -> None:
    a = Atom(4)
    unify(a, Product([a, constant(1, "one")]), "here")
    assert resolve(a) is a


def test_sums_meet_where_their_borders_lie() -> None:
    a, b, c, d = Atom(6), Atom(10), Atom(12), Atom(4)
    unify(Sum([a, b]), Sum([c, d]), "here")
    assert sizes(total([a, b])) == [6, 6, 4]
    assert atoms(c) == [resolve(a), *atoms(b)[:1]]
    assert atoms(d) == atoms(b)[1:]


def test_products_meet_at_their_common_factors() -> None:
    a, b, c, d = Atom(2), Atom(6), Atom(4), Atom(3)
    unify(Product([a, b]), Product([c, d]), "here")
    assert sizes(product([a, b])) == sizes(product([c, d])) == [2, 2, 3]


def test_products_without_common_factors_freeze() -> None:
    parts = [Atom(2), Atom(3), Atom(3), Atom(2)]
    unify(Product(parts[:2]), Product(parts[2:]), "here")
    assert {part.frozen for part in parts} == {"here"}


def test_a_sum_of_equal_segments_meets_a_product() -> None:
    a, b = Atom(8), Atom(8)
    count, width = Atom(2), Atom(8)
    unify(Sum([a, b]), Product([count, width]), "here")
    assert resolve(a) is resolve(b) is resolve(width)
    assert not resolve(a).frozen  # type: ignore[union-attr]
    assert sizes(count) == [1, 1], "a count of segments has no index that could go"


def test_a_sum_meets_a_product_that_cuts_through_heads() -> None:
    a, b, heads, width = Atom(16), Atom(32), Atom(6), Atom(8)
    unify(Sum([a, b]), Product([heads, width]), "here")
    assert sizes(a) == [2, 8]
    assert sizes(b) == [4, 8]
    assert atoms(a)[1] is atoms(b)[1], "the channels of each head are one index space"


def test_splitting_a_sum_ties_the_minors_of_its_segments() -> None:
    a, b = Atom(16), Atom(32)
    pieces = split(Sum([a, b]), 6, "here")
    assert pieces is not None
    assert (sizes(pieces[0]), sizes(pieces[1])) == ([2, 4], [8])


@pytest.mark.parametrize("size", [5, 3, 0])
def test_a_sum_that_does_not_divide_is_not_split(size: int) -> None:
    assert split(Sum([Atom(24), Atom(40)]), 2, "here") is None, "one block of two unlike segments"
    assert split(Sum([Atom(2), Atom(2)]), size, "here") is None


def test_cutting_gathers_and_divides_segments() -> None:
    a, b, c = Atom(2), Atom(4), Atom(6)
    pieces = cut(Sum([a, b, c]), 8, "here")
    assert pieces is not None
    assert (sizes(pieces[0]), sizes(pieces[1])) == ([2, 4, 2], [4])


def test_a_view_regroups_factors() -> None:
    channels, rows, columns = Atom(6), constant(5, "space"), constant(5, "space")
    (flat,) = regroup([channels, rows, columns], [150], "here")
    assert atoms(flat) == [channels, rows, columns]
    assert [sizes(dim) for dim in regroup([flat], [2, 3, 1, 25], "here")] == [[2], [3], [1], [5, 5]]
    assert sizes(channels) == [2, 3]


def test_a_view_that_does_not_divide_evenly_freezes_both_sides() -> None:
    a, b = Atom(4), Atom(6)
    out = regroup([a, b], [3, 8], "view")
    assert a.frozen == b.frozen == "view"
    assert [atom.frozen for dim in out for atom in atoms(dim)] == ["view", "view"]


def test_a_view_freezes_only_the_run_of_dimensions_that_does_not_divide() -> None:
    a, b, c = Atom(4), Atom(6), Atom(5)
    out = regroup([a, b, c], [3, 8, 5], "view")
    assert (a.frozen, b.frozen, c.frozen) == ("view", "view", "")
    assert out[2] is c


def test_a_cut_through_a_row_divides_it_in_all_rows() -> None:
    """5 rows of 4, cut after 10: two rows, two of the four columns of the third, the other two, two rows more."""
    rows, columns = Atom(5), Atom(4)
    pieces = cut(Product([rows, columns]), 10, "here")
    assert pieces is not None
    assert sizes(rows) == [2, 1, 2]
    assert sizes(columns) == [2, 2]
    left, right = atoms(columns)
    before, _, after = atoms(rows)
    assert (atoms(pieces[0]), atoms(pieces[1])) == ([before, left, right, left], [right, after, left, right])
    assert (pieces[0].size, pieces[1].size) == (10, 10)


def test_a_cut_within_the_first_row_leaves_no_rows_before_it() -> None:
    rows, columns = Atom(3), Atom(4)
    pieces = cut(Product([rows, columns]), 1, "here")
    assert pieces is not None
    assert (sizes(pieces[0]), sizes(pieces[1])) == ([1], [3, 2, 1, 3])
