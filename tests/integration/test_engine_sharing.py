"""Runs that need the same step, large runs, and clocks that cannot be trusted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from modelpress.engine.driver import Engine
from modelpress.engine.events import Event, StepStarted, StepWaits
from modelpress.engine.state import RunState, RunStatus
from modelpress.pipeline.plan import Plan
from tests.integration.homes import Toys, open_engine, plan


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with open_engine(tmp_path / "home") as engine:
        yield engine


@pytest.fixture
def toys(tmp_path: Path) -> Toys:
    return Toys(tmp_path)


def sharing(toys: Toys, last: str) -> Plan:
    """Three steps that every such plan has, and one of its own."""
    return plan(
        toys.step("a", "emit"),
        toys.step("b", "copy", {"source": "a.report"}),
        toys.step("c", "copy", {"source": "b.report"}),
        toys.step(last, "copy", {"source": "c.report"}),
    )


def test_twenty_runs_at_once_compute_what_they_share_once(engine: Engine, toys: Toys) -> None:
    run_ids = [engine.submit(sharing(toys, f"own-{n}"), {}) for n in range(20)]
    states = [engine.drive(run_id) for run_id in run_ids]
    assert {state.status for state in states} == {RunStatus.SUCCEEDED}
    executed = Counter(toys.executed())
    assert [executed[shared] for shared in ("a", "b", "c")] == [1, 1, 1]
    # Those of their own may be begun again: what another run is at when a drive ends is given back.
    assert executed.keys() == {"a", "b", "c", *(f"own-{n}" for n in range(20))}


def test_a_run_says_what_it_waits_for_and_makes_it_when_the_other_is_cancelled(engine: Engine, toys: Toys) -> None:
    step = toys.step("a", "emit", wait_for=str(toys.release))
    first, second = engine.submit(plan(step), {}), engine.submit(plan(step), {})
    seen: list[RunState] = []

    def cancel_first(event: Event) -> None:
        if isinstance(event, StepWaits):
            seen.append(engine.get(second))
            engine.cancel(first)
        if isinstance(event, StepStarted) and event.run_id == second:
            toys.release.touch()

    state = engine.drive(second, cancel_first)
    assert state.status is RunStatus.SUCCEEDED
    assert not state.steps["a"].cached
    assert [run.steps["a"].waits_for for run in seen] == [f"{first}/a"]
    assert engine.get(first).status is RunStatus.CANCELLED


def test_a_clock_that_steps_back_stops_nothing(engine: Engine, toys: Toys, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count()
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0 - 3600.0 * next(ticks))
    flaky = {"fault": "retryable", "faults": 1}
    state = engine.drive(engine.submit(toys.diamond(b=flaky), {}))
    assert state.status is RunStatus.SUCCEEDED
    assert state.steps["b"].retries == 1


def test_a_run_of_a_thousand_steps_ends(engine: Engine, toys: Toys) -> None:
    steps = [toys.step(f"s{n}", "emit", value=n) for n in range(999)]
    many = plan(*steps, toys.step("all", "gather", {"sources": tuple(f"{s.id}.report" for s in steps)}))
    state = engine.drive(engine.submit(many, {}))
    assert state.status is RunStatus.SUCCEEDED
    assert len(toys.executed()) == 1000
