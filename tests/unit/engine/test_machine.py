"""The whole engine under every order of work and faults that hypothesis finds: nothing is lost, all of it ends.

10,000 examples: ``pytest tests/unit/engine/test_machine.py --hypothesis-profile=thorough``.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from modelpress.engine.events import Interruption
from modelpress.errors import StoreFullError
from modelpress.pipeline.plan import Plan, PlannedStep
from tests.unit.engine.builders import plan_with, planned_step
from tests.unit.engine.workers import Job, Worker
from tests.unit.engine.world import HOP_S, World

NAMES = "abcde"
NUMBER = st.integers(0, 1000)
WHEN = st.sampled_from([">= 50", "< 50"])
WHY: st.SearchStrategy[Interruption] = st.sampled_from(["died", "retryable", "released"])


@st.composite
def steps(draw: st.DrawFn, name: str, earlier: str) -> PlannedStep:
    """A step that may read earlier ones, one by one or as a list, on conditions, with wishes of its own."""
    some = st.sets(st.sampled_from(earlier), max_size=2) if earlier else st.just(set[str]())
    needs, many = sorted(draw(some)), sorted(draw(some))
    changes: dict[str, Any] = {"threads": draw(st.sampled_from([1, 1, 2, 5])), "alone": draw(st.integers(0, 5)) == 5}
    inputs = {"data": "inputs.data", **{f"from-{need}": f"{need}.out" for need in needs}}
    if many:
        inputs["many"] = tuple(f"{one}.out" for one in many)  # type: ignore[assignment]
    if earlier and draw(st.integers(0, 3)) == 3:
        changes["when"] = {f"{draw(st.sampled_from(earlier))}.top1": draw(WHEN)}
    if draw(st.integers(0, 7)) == 7:
        changes["gate"] = {"top1": ">= 50"}
    return planned_step(name, inputs=inputs, **changes)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    size = draw(st.integers(1, len(NAMES)))
    return plan_with(
        [draw(steps(name, NAMES[:i])) for i, name in enumerate(NAMES[:size])], seed=draw(st.integers(0, 1))
    )


class EngineMachine(RuleBasedStateMachine):
    """Each rule is a thing that somebody does, or that goes wrong."""

    world: World

    @initialize(partitions=st.integers(1, 3), plan=plans())
    def begin(self, partitions: int, plan: Plan) -> None:
        self.world = World(partitions)
        self.plans = [plan]
        self.world.add_coordinator()
        self.world.add_worker()
        self.world.submit(plan, 0, with_records=True)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            try:
                self.world.quiesce()
            finally:
                self.world.close()

    # People.

    @precondition(lambda self: len(self.world.runs) < 5)
    @rule(plan=plans(), priority=st.integers(0, 1), with_records=st.booleans())
    def submit(self, plan: Plan, priority: int, with_records: bool) -> None:
        self.plans.append(plan)
        self.world.submit(plan, priority, with_records=with_records)

    @precondition(lambda self: len(self.world.runs) < 5)
    @rule(number=NUMBER)
    def submit_the_same(self, number: int) -> None:
        self.world.submit(self.plans[number % len(self.plans)], 0, with_records=True)

    @rule(number=NUMBER)
    def cancel(self, number: int) -> None:
        if number % 3 == 0:
            self.world.cancel(self.world.runs[number % len(self.world.runs)])

    # Work.

    @precondition(lambda self: self.world.coordinators)
    @rule(number=NUMBER)
    def advance(self, number: int) -> None:
        self.world.advance(self.world.coordinators[number % len(self.world.coordinators)])

    @rule()
    def settle(self) -> None:
        self.world.settle()

    @rule(top1=st.sampled_from([100.0, 0.0]))
    def work(self, top1: float) -> None:
        """Every live worker takes what there is, and every job goes a stage further."""
        for worker in self.world.live():
            worker.take()
        for worker, job in self.world.jobs():
            if job in worker.jobs:
                worker.go_on(job, top1)
        self.world.settle()

    @rule(number=NUMBER)
    def take(self, number: int) -> None:
        if live := self.world.live():
            live[number % len(live)].take()

    @rule(number=NUMBER)
    def listen(self, number: int) -> None:
        if live := self.world.live():
            live[number % len(live)].listen()

    @precondition(lambda self: self.world.jobs())
    @rule(number=NUMBER, top1=st.sampled_from([100.0, 0.0]))
    def go_on(self, number: int, top1: float) -> None:
        worker, job = self.job(number)
        worker.go_on(job, top1)

    @rule(hops=st.sampled_from([1, 2, 5]), renewing=st.booleans())
    def pass_time(self, hops: int, renewing: bool) -> None:
        self.world.pass_time(hops, renewing=renewing)

    # Faults of workers.

    @precondition(lambda self: self.world.jobs())
    @rule(number=NUMBER, why=WHY)
    def interrupt(self, number: int, why: Interruption) -> None:
        worker, job = self.job(number)
        worker.interrupt(job, why)

    @precondition(lambda self: self.world.jobs())
    @rule(number=NUMBER)
    def fail(self, number: int) -> None:
        worker, job = self.job(number)
        if number % 3 == 0:
            worker.fail(job)

    @precondition(lambda self: self.world.jobs())
    @rule(number=NUMBER)
    def lose_a_command(self, number: int) -> None:
        worker, job = self.job(number)
        worker.lose(job)

    @precondition(lambda self: self.world.workers)
    @rule(number=NUMBER)
    def kill_a_worker(self, number: int) -> None:
        self.world.kill_worker(self.worker(number))

    @precondition(lambda self: self.world.workers)
    @rule(number=NUMBER)
    def freeze_or_thaw(self, number: int) -> None:
        worker = self.worker(number)
        worker.frozen = not worker.frozen

    @precondition(lambda self: self.world.workers)
    @rule(number=NUMBER)
    def expel_a_worker(self, number: int) -> None:
        self.worker(number).expel()

    @precondition(lambda self: len(self.world.workers) < 3)
    @rule()
    def start_a_worker(self) -> None:
        self.world.add_worker()

    # Faults of coordinators, of the log and of the store.

    @precondition(lambda self: self.world.coordinators)
    @rule(number=NUMBER)
    def kill_a_coordinator(self, number: int) -> None:
        self.world.kill_coordinator(self.world.coordinators[number % len(self.world.coordinators)])

    @precondition(lambda self: self.world.coordinators)
    @rule(number=NUMBER, error=st.sampled_from([StoreFullError("no space left"), KeyboardInterrupt()]))
    def fail_a_turn(self, number: int, error: BaseException) -> None:
        self.world.fail_turn(self.world.coordinators[number % len(self.world.coordinators)], error)

    @precondition(lambda self: 0 < len(self.world.coordinators) < 3)
    @rule(number=NUMBER)
    def overtake_a_coordinator(self, number: int) -> None:
        self.world.overtake(self.world.coordinators[number % len(self.world.coordinators)])

    @precondition(lambda self: len(self.world.coordinators) < 3)
    @rule()
    def start_a_coordinator(self) -> None:
        self.world.add_coordinator()

    @rule(seconds=st.sampled_from([HOP_S, 1000.0]))
    def be_away(self, seconds: float) -> None:
        self.world.desk.clock_s += seconds

    @rule(number=NUMBER)
    def repeat_an_event(self, number: int) -> None:
        self.world.repeat(number)

    @rule(number=NUMBER)
    def lose_a_result(self, number: int) -> None:
        if number % 2 == 0:
            self.world.lose_result(number)

    @invariant()
    def everything_holds(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def job(self, number: int) -> tuple[Worker, Job]:
        jobs = self.world.jobs()
        return jobs[number % len(jobs)]

    def worker(self, number: int) -> Worker:
        return self.world.workers[number % len(self.world.workers)]


EngineMachine.TestCase.settings = settings(
    max_examples=max(200, settings().max_examples),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestEngine = EngineMachine.TestCase
