"""Records that no modelpress wrote, in the bus of a home: it goes on, and nothing is written outside of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelpress.bus.ports import Message
from modelpress.engine.driver import Engine
from modelpress.engine.events import EVENTS, PLACES, RunSubmitted, steps_topic
from modelpress.engine.state import RunStatus
from modelpress.pipeline.plan import Plan
from tests.integration.homes import Toys, open_engine, plan


def send(engine: Engine, topic: str, value: dict[str, Any]) -> None:
    bus = engine.home.open_bus()
    bus.producer().send([Message(topic, "crafted", json.dumps(value).encode())])
    bus.close()


def submitted(planned: Plan, run_id: str = "crafted", **changes: object) -> dict[str, Any]:
    event = RunSubmitted(run_id="crafted", at_s=1.0, plan=planned, inputs={})
    return {**event.model_dump(mode="json"), "run_id": run_id, **changes}


def command(toys: Toys, step_id: str) -> dict[str, Any]:
    step = toys.step("a", "emit")
    about = {"tenant": "default", "run_id": "crafted", "step_id": step_id, "attempt": 1}
    return {**about, "uses": step.uses, "version": 1, "params": step.params, "inputs": {}, "seed": 0, "threads": 1}


def offered(partition: int) -> dict[str, Any]:
    return {"type": "place-offered", "pool": "local", "worker": "nobody", "partition": partition, "cores": 64}


def went_on(tmp_path: Path, toys: Toys, topic: str, value: dict[str, Any]) -> bool:
    """Whether a run was driven to its end beside the record, which became a dead letter."""
    before = {path.name for path in tmp_path.iterdir()}
    with open_engine(tmp_path / "home") as engine:
        send(engine, topic, value)
        run_id = engine.submit(plan(toys.step("a", "emit")), {})
        done = engine.drive(run_id).status is RunStatus.SUCCEEDED
        outside = {path.name for path in tmp_path.iterdir()} - before - {"home", "journal"}
        return done and not outside and [letter.key for letter in engine.dead_letters()] == ["crafted"]


@pytest.fixture
def toys(tmp_path: Path) -> Toys:
    return Toys(tmp_path)


@pytest.mark.parametrize("name", ["../../outside", "a/b", "", "a\0b", "a" * 300, "worker.log"])
def test_a_run_whose_name_is_no_name_of_a_file_is_not_taken(tmp_path: Path, toys: Toys, name: str) -> None:
    assert went_on(tmp_path, toys, EVENTS, submitted(plan(toys.step("a", "emit")), name))


def test_nor_is_one_with_such_a_step(tmp_path: Path, toys: Toys) -> None:
    run = submitted(plan(toys.step("a", "emit")))
    run["plan"]["steps"][0]["id"] = "../../outside"
    assert went_on(tmp_path, toys, EVENTS, run)


def test_nor_is_one_at_a_time_that_is_none(tmp_path: Path, toys: Toys) -> None:
    assert went_on(tmp_path, toys, EVENTS, submitted(plan(toys.step("a", "emit")), at_s=float("nan")))


def test_a_command_for_a_step_whose_name_climbs_is_not_done(tmp_path: Path, toys: Toys) -> None:
    assert went_on(tmp_path, toys, steps_topic("local"), command(toys, "../../../outside"))


@pytest.mark.parametrize("partition", [57, -1])
def test_a_place_that_is_nowhere_is_granted_nothing(tmp_path: Path, toys: Toys, partition: int) -> None:
    assert went_on(tmp_path, toys, PLACES, offered(partition))
