"""Homes with runs of toys in them, for the commands that read and keep them."""

from __future__ import annotations

from pathlib import Path

from modelpress.bus.ports import Message
from modelpress.client.client import Client
from modelpress.config.settings import Settings
from modelpress.engine.driver import Engine
from modelpress.engine.events import EVENTS
from modelpress.engine.home import Home
from modelpress.pipeline.plan import Plan, PlannedStep
from modelpress.testing.toys import CATALOGUE


def toys_client(root: Path) -> Client:
    """A client of the home ``root`` that knows the toys and nothing else; its workers import nothing beforehand."""
    settings = Settings(root, root, None, "process", 1)
    return Client(Engine(Home(root), CATALOGUE, settings, warm=()), CATALOGUE, settings)


def chain(root: Path, name: str, *ids: str, **params: object) -> Plan:
    """A plan of toys, each step but the first a copy of the one before; ``params`` are the last step's."""
    steps = []
    for number, step_id in enumerate(ids):
        given: dict[str, object] = {"name": f"{name}-{step_id}", "journal": str(root / "journal")}
        given |= params if number == len(ids) - 1 else {}
        uses = "toys/copy" if number else "toys/emit"
        canonical = CATALOGUE[uses].params.model_validate(given).model_dump(mode="json")
        inputs = {"source": f"{ids[number - 1]}.report"} if number else {}
        steps.append(
            PlannedStep(id=step_id, uses=uses, version=1, params=canonical, inputs=inputs, outputs=("report",))
        )
    return Plan(name=name, inputs={}, steps=tuple(steps), outputs={"report": f"{ids[-1]}.report"})


def submit(root: Path, plan: Plan) -> str:
    with toys_client(root) as client:
        return client.engine.submit(plan, {})


def done(root: Path, plan: Plan) -> str:
    """The id of a run of ``plan`` that was driven to its end."""
    with toys_client(root) as client:
        run_id = client.engine.submit(plan, {})
        client.engine.drive(run_id)
    return run_id


def send_garbage(root: Path) -> None:
    """Put a record that nobody can read among the events of a home: the next one who drives makes a letter of it."""
    bus = Home(root).open_bus()
    bus.producer().send([Message(EVENTS, "r", b"no event")])
    bus.close()
