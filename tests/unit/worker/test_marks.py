from __future__ import annotations

from modelpress.bus.ports import Partition, Record
from modelpress.worker.marks import Marks

P, Q = Partition("steps.local", 0), Partition("steps.local", 1)


def marks_of(*offsets: int, partition: Partition = P) -> Marks:
    marks = Marks()
    assert all(marks.take(Record(partition, offset, "k", b"")) for offset in offsets)
    return marks


def test_the_mark_is_the_oldest_that_is_open() -> None:
    marks = marks_of(3, 4, 7)
    assert marks.mark(P, {4}) == 3
    marks.close(P, {4})
    assert marks.mark(P, {3}) == 7
    marks.close(P, {3})
    assert marks.mark(P, {7}) == 8


def test_what_was_read_is_not_taken_again() -> None:
    marks = marks_of(3, 4)
    marks.close(P, {3})
    assert [marks.take(Record(P, offset, "k", b"")) for offset in (3, 4, 5)] == [False, False, True]


def test_a_partition_that_comes_back_is_read_from_where_its_owner_was() -> None:
    marks = marks_of(3, 4)
    assert marks.take(Record(Q, 9, "k", b""))
    marks.forget(P)
    assert marks.take(Record(P, 3, "k", b""))
    assert marks.mark(P, {3}) == 4
    assert not marks.take(Record(Q, 9, "k", b""))
