"""Children as a pool. Their processes are stand-ins that a test tells what to say."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from modelpress.worker import children as module
from modelpress.worker.children import GROWN_BYTES, READY_WITHIN_S, Children
from modelpress.worker.process import ChildDiedError, ChildProcess
from modelpress.worker.protocol import Log, Reply


class FakeProcess:
    """Says hello once it is told to."""

    def __init__(self, warm: Sequence[str], log_path: Path) -> None:
        self.log_path = log_path
        self.started_s = time.monotonic()
        self.facts: dict[str, str] | None = None
        self.warm_rss_bytes = 10**8
        self.grown_bytes = 0
        self.greets = False
        self.saying: list[Reply] | ChildDiedError = []
        self.killed = False

    def receive(self) -> list[Reply]:
        saying, self.saying = self.saying, []
        if isinstance(saying, ChildDiedError):
            raise saying
        if self.greets:
            self.facts = {"log": self.log_path.name}
        return saying

    def rss_bytes(self) -> int:
        return self.warm_rss_bytes + self.grown_bytes

    def kill(self) -> None:
        self.killed = True


def fake(child: ChildProcess) -> FakeProcess:
    assert isinstance(child, FakeProcess)
    return child


def warm(children: Children) -> None:
    for child in children:
        fake(child).greets = True
    assert list(children.hear()) == []


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Children]:
    monkeypatch.setattr(module, "ChildProcess", FakeProcess)
    monkeypatch.setattr(module, "available_bytes", lambda: 16 * 1024**3)
    made = Children(("torch",), tmp_path / "worker.log", limit=2)
    yield made
    made.close()
    assert len(made) == 0


def test_the_first_starts_at_once_and_others_when_asked_for(children: Children) -> None:
    assert (len(children), children.starting, children.free, children.missing) == (1, 1, 0, 1)
    children.start()
    children.start()
    assert (len(children), children.starting, children.missing) == (2, 2, 0)
    assert [fake(child).log_path.name for child in children] == ["worker.log", "worker-2.log"]


def test_the_one_that_was_used_last_is_used_next(children: Children) -> None:
    children.start()
    warm(children)
    assert children.free == 2
    first, second = children.take(), children.take()
    children.put(first)
    children.put(second)
    assert children.facts == second.facts
    assert children.take() is second


def test_a_child_that_grew_too_large_is_replaced(children: Children) -> None:
    warm(children)
    child = children.take()
    fake(child).grown_bytes = 2 * GROWN_BYTES
    children.put(child)
    assert children.take() is child
    fake(child).grown_bytes = 2 * GROWN_BYTES + 1
    children.put(child)
    assert fake(child).killed
    assert (len(children), children.starting, children.free) == (1, 1, 0)


def test_another_starts_only_where_none_is_left(children: Children) -> None:
    children.start()
    warm(children)
    first, second = children.take(), children.take()
    children.replace(first)
    assert list(children) == [second]
    children.replace(second)
    assert children.starting == 1


def test_what_is_said_comes_with_who_says_it(children: Children) -> None:
    warm(children)
    child = children.take()
    fake(child).saying = [Log(text="a"), Log(text="b")]
    assert list(children.hear()) == [(child, Log(text="a")), (child, Log(text="b"))]


def test_a_death_is_told_once_and_a_warm_child_replaced(children: Children) -> None:
    warm(children)
    (child,) = children
    death = fake(child).saying = ChildDiedError(-9, "")
    assert list(children.hear()) == [(child, death)]
    assert children.free == 0
    assert child not in list(children)
    assert children.starting == 1


def test_a_child_that_cannot_start_is_not_started_again(children: Children) -> None:
    (child,) = children
    fake(child).saying = ChildDiedError(1, "no module")
    assert len(list(children.hear())) == 1
    assert len(children) == 0


def test_a_child_that_is_not_ready_in_time_is_ended(children: Children) -> None:
    (child,) = children
    fake(child).started_s -= READY_WITHIN_S + 1
    ((_, death),) = children.hear()
    assert isinstance(death, ChildDiedError)
    assert "it was not ready after 300 s" in str(death)
    assert fake(child).killed
