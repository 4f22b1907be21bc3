"""A whole engine in memory, coordinators, workers and store, with the faults that can come over it.

`quiesce` lets the faults stop and everything end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from modelpress.bus.memory import MemoryBus
from modelpress.bus.ports import Message, Partition, drain
from modelpress.engine.coordinator import Coordinator
from modelpress.engine.events import EVENTS, RunCancelled
from modelpress.engine.fold import submitted
from modelpress.engine.records import run_messages
from modelpress.errors import StoreFullError
from modelpress.pipeline.plan import Plan
from tests.unit.engine.audit import Audit
from tests.unit.engine.builders import submission
from tests.unit.engine.desk import LEASE_S, Desk
from tests.unit.engine.workers import Job, Results, Worker

HOP_S = LEASE_S / 4
"""Time passes in steps shorter than what a coordinator takes for an absence."""
ROUNDS = 600
"""By when everything has ended once the faults have."""


class World:
    """``partitions`` are those of every keyed topic."""

    def __init__(self, partitions: int) -> None:
        self.desk = Desk(partitions, driven=False)
        self.results = Results()
        self.workers: list[Worker] = []
        self.coordinators: list[Coordinator] = []
        self.runs: list[str] = []
        self._audit = Audit(self.desk.bus)
        self._names = self._nudges = 0

    def close(self) -> None:
        for worker in self.workers:
            worker.die()
        self.desk.__exit__()

    # What people do.

    def submit(self, plan: Plan, priority: int, *, with_records: bool) -> None:
        run_id = f"run-{len(self.runs)}"
        event = submission(plan, run_id, priority=priority, at_s=float(len(self.runs)))
        self.runs.append(run_id)
        if with_records:
            self.desk.bus.producer().send(run_messages(submitted(event)))
        self.desk.send(event)

    def cancel(self, run_id: str) -> None:
        self.desk.send(RunCancelled(run_id=run_id, at_s=self.desk.clock_s))

    # What goes on by itself.

    def advance(self, coordinator: Coordinator) -> bool:
        busy = coordinator.advance()
        self._audit.after_turn(coordinator, self.runs)
        return busy

    def settle(self) -> None:
        for _ in range(300):
            busy = [self.advance(coordinator) for coordinator in self.coordinators]
            if not any(busy):
                return
        raise AssertionError("the coordinators never come to rest")

    def work(self, top1s: Sequence[float]) -> None:
        """Commands reach the live workers; as often as there are ``top1s``, every job goes a stage further."""
        self._hand_out()
        for top1 in top1s:
            for worker, job in self.jobs():
                if job in worker.jobs:
                    worker.go_on(job, top1)
            self._hand_out()

    def nudge(self) -> None:
        """One job goes a stage further."""
        self._nudges += 1
        jobs = self.jobs()
        if jobs:
            worker, job = jobs[self._nudges % len(jobs)]
            worker.go_on(job)
        self._hand_out()

    def _hand_out(self) -> None:
        """What is offered is granted, and what was granted is taken."""
        for _ in range(2):
            for worker in self.live():
                worker.take()
            self.settle()

    def pass_time(self, hops: int, *, renewing: bool) -> None:
        for _ in range(hops):
            self.desk.clock_s += HOP_S
            for worker in self.live() if renewing else ():
                for job in worker.jobs:
                    worker.renew(job)
            for coordinator in self.coordinators:
                self.advance(coordinator)

    def live(self) -> list[Worker]:
        return [worker for worker in self.workers if not worker.frozen]

    def jobs(self) -> list[tuple[Worker, Job]]:
        return [(worker, job) for worker in self.live() for job in worker.jobs]

    def add_worker(self) -> None:
        self._names += 1
        bus = MemoryBus(self.desk.log)
        self.workers.append(Worker(f"w{self._names}", bus, self.results, lambda: self.desk.clock_s))

    def add_coordinator(self) -> None:
        self._audit.shared |= bool(self.coordinators)
        self.coordinators.append(self.desk.another())

    # What goes wrong.

    def kill_worker(self, worker: Worker) -> None:
        worker.die()
        self.workers.remove(worker)

    def kill_coordinator(self, coordinator: Coordinator) -> None:
        coordinator.close()
        self.coordinators.remove(coordinator)

    def fail_turn(self, coordinator: Coordinator, error: BaseException) -> None:
        """A turn whose commit does not happen."""

        def refuse(offsets: Mapping[Partition, int], out: Sequence[Message]) -> None:
            raise error

        with self.desk.commits_do(refuse), contextlib.suppress(StoreFullError, KeyboardInterrupt):
            coordinator.advance()

    def overtake(self, coordinator: Coordinator) -> None:
        """While a turn computes, the group goes on without this coordinator, and another one with its work."""
        self._audit.shared = True
        done: list[Coordinator] = []

        def expel(offsets: Mapping[Partition, int], out: Sequence[Message]) -> None:
            if not done:
                done.append(self.desk.another())
                self.desk.expel(coordinator)
                done[0].advance()

        with self.desk.commits_do(expel):
            coordinator.advance()
        self.coordinators += done

    def repeat(self, number: int) -> None:
        """An event of the log comes once more."""
        records = drain(self.desk.bus.tail([EVENTS]))
        if records:
            record = records[number % len(records)]
            self.desk.bus.producer().send([Message(EVENTS, record.key, record.value)])

    def lose_result(self, number: int) -> None:
        """The blobs of a result are gone."""
        digests = sorted(result.digest for result in self.results.held.values())
        if digests:
            self._audit.lossy = True
            self.results.lost.add(digests[number % len(digests)])

    # What always holds.

    def check(self) -> None:
        self._audit.check(self.coordinators)

    def quiesce(self) -> None:
        """Everything works again; all that was submitted ends."""
        self._recover()
        for _ in range(ROUNDS):
            self._round()
            if not self._audit.unfinished(self.runs):
                break
        unfinished = self._audit.unfinished(self.runs)
        assert unfinished == [], f"runs never end: {unfinished}"
        for _ in range(int(3 * LEASE_S / HOP_S)):
            self._round()
        self.check()
        for dispatcher in self.coordinators[0]._dispatchers.values():
            assert (dispatcher.out(), dispatcher.waiting()) == ((), 0), "places stay taken although all has ended"

    def _recover(self) -> None:
        for worker in self.workers:
            worker.frozen = False
        if not self.workers:
            self.add_worker()
        if not self.coordinators:
            self.add_coordinator()
        for coordinator in self.coordinators[1:]:
            self.kill_coordinator(coordinator)

    def _round(self) -> None:
        self.desk.clock_s += HOP_S
        self.settle()
        for worker in self.workers:
            worker.listen()
            worker.take()
            worker.offer()
            for job in list(worker.jobs):
                worker.renew(job)
                if job in worker.jobs:
                    worker.go_on(job)
        self.settle()
