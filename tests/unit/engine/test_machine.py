"""The whole engine under every order of work and faults that hypothesis finds: nothing is lost, all of it ends.

10,000 examples: ``pytest tests/unit/engine/test_machine.py --hypothesis-profile=thorough``.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from modelpress.engine.coordinator import Coordinator
from modelpress.errors import StoreFullError
from modelpress.pipeline.plan import Plan, PlannedStep
from tests.unit.engine.builders import plan_with, planned_step
from tests.unit.engine.workers import Job, Worker
from tests.unit.engine.world import HOP_S, World

NAMES = "abcde"
MOST_RUNS = 6
MOST_CANCELS = 2
NUMBER = st.integers(0, 1000)
"""Picks one of those that there are."""
WHEN = st.sampled_from([">= 50", "< 50"])
TOP1 = st.sampled_from([100.0, 0.0])
JobFault = Literal["died", "retryable", "released", "fail", "lose", "lose it too"]
JOB_FAULTS: st.SearchStrategy[JobFault] = st.sampled_from(get_args(JobFault))


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

    @initialize(partitions=st.integers(1, 3), first=plans(), second=plans(), brisk=st.booleans())
    def begin(self, partitions: int, first: Plan, second: Plan, brisk: bool) -> None:
        """In a ``brisk`` world work goes on between all that happens; else only when a rule says so."""
        self.brisk = brisk
        self.world = World(partitions)
        self.plans = [first, second]
        self.cancels = 0
        self.world.add_coordinator()
        self.world.add_worker()
        for plan in self.plans:
            self.world.submit(plan, 0, with_records=True)
        self.world.work([])

    def teardown(self) -> None:
        if hasattr(self, "world"):
            try:
                self.world.quiesce()
            finally:
                self.world.close()

    # People.

    @precondition(lambda self: len(self.world.runs) < MOST_RUNS)
    @rule(plan=plans(), priority=st.integers(0, 1), with_records=st.booleans())
    def submit(self, plan: Plan, priority: int, with_records: bool) -> None:
        self.plans.append(plan)
        self.world.submit(plan, priority, with_records=with_records)

    @precondition(lambda self: len(self.world.runs) < MOST_RUNS)
    @rule(number=NUMBER)
    def submit_the_same(self, number: int) -> None:
        self.world.submit(self.plans[number % len(self.plans)], 0, with_records=True)

    @precondition(lambda self: self.cancels < MOST_CANCELS)
    @rule(number=NUMBER)
    def cancel(self, number: int) -> None:
        self.cancels += 1
        self.world.cancel(self.world.runs[number % len(self.world.runs)])

    # Work.

    @rule(top1s=st.lists(TOP1, min_size=1, max_size=3))
    def work(self, top1s: list[float]) -> None:
        self.world.work(top1s)

    @precondition(lambda self: self.world.jobs())
    @rule(number=NUMBER, top1=TOP1)
    def go_on(self, number: int, top1: float) -> None:
        worker, job = self.job(number)
        worker.go_on(job, top1)

    @precondition(lambda self: self.world.live())
    @rule(number=NUMBER, hears=st.booleans())
    def take(self, number: int, hears: bool) -> None:
        live = self.world.live()
        worker = live[number % len(live)]
        worker.take()
        if hears:
            worker.listen()

    @precondition(lambda self: self.world.coordinators)
    @rule(number=NUMBER)
    def advance(self, number: int) -> None:
        self.world.advance(self.coordinator(number))

    @rule(hops=st.sampled_from([1, 2, 5]), renewing=st.booleans())
    def pass_time(self, hops: int, renewing: bool) -> None:
        self.world.pass_time(hops, renewing=renewing)

    # Faults.

    @precondition(lambda self: self.world.jobs())
    @rule(number=NUMBER, fault=JOB_FAULTS)
    def end_a_job(self, number: int, fault: JobFault) -> None:
        worker, job = self.job(number)
        match fault:
            case "fail":
                worker.fail(job)
            case "lose" | "lose it too":
                worker.lose(job)
            case why:
                worker.interrupt(job, why)

    @precondition(lambda self: self.world.workers)
    @rule(number=NUMBER, fault=st.sampled_from(["kill", "freeze", "expel"]))
    def hit_a_worker(self, number: int, fault: str) -> None:
        worker = self.world.workers[number % len(self.world.workers)]
        match fault:
            case "kill":
                self.world.kill_worker(worker)
            case "freeze":
                worker.frozen = not worker.frozen
            case "expel":
                worker.expel()

    @precondition(lambda self: len(self.world.workers) < 3)
    @rule()
    def start_a_worker(self) -> None:
        self.world.add_worker()

    @precondition(lambda self: self.world.coordinators)
    @rule(number=NUMBER, fault=st.sampled_from(["replace", "kill", "full disk", "signal"]))
    def hit_a_coordinator(self, number: int, fault: str) -> None:
        coordinator = self.coordinator(number)
        match fault:
            case "full disk":
                self.world.fail_turn(coordinator, StoreFullError("no space left"))
            case "signal":
                self.world.fail_turn(coordinator, KeyboardInterrupt())
            case _:
                self.world.kill_coordinator(coordinator)
        if fault == "replace":
            self.world.add_coordinator()

    @precondition(lambda self: len(self.world.coordinators) < 3)
    @rule(number=NUMBER, overtaking=st.booleans())
    def start_a_coordinator(self, number: int, overtaking: bool) -> None:
        if overtaking and self.world.coordinators:
            self.world.overtake(self.coordinator(number))
        else:
            self.world.add_coordinator()

    @rule(seconds=st.sampled_from([HOP_S, 1000.0]))
    def be_away(self, seconds: float) -> None:
        self.world.desk.clock_s += seconds

    @rule(number=NUMBER)
    def repeat_an_event(self, number: int) -> None:
        self.world.repeat(number)

    @precondition(lambda self: self.world.results.held)
    @rule(number=NUMBER)
    def lose_a_result(self, number: int) -> None:
        self.world.lose_result(number)

    @invariant()
    def everything_holds(self) -> None:
        if hasattr(self, "world"):
            if self.brisk:
                self.world.nudge()
            self.world.check()

    def job(self, number: int) -> tuple[Worker, Job]:
        jobs = self.world.jobs()
        return jobs[number % len(jobs)]

    def coordinator(self, number: int) -> Coordinator:
        return self.world.coordinators[number % len(self.world.coordinators)]


EngineMachine.TestCase.settings = settings(
    max_examples=max(200, settings().max_examples),
    stateful_step_count=80,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestEngine = EngineMachine.TestCase
