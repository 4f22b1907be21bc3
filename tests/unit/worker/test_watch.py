from __future__ import annotations

import math
from pathlib import Path

from modelpress.bus.ports import Partition, Record
from modelpress.engine.events import StepCommand, StepFailed, StepInterrupted
from modelpress.testing.toys import CATALOGUE
from modelpress.worker.attempt import Attempt
from modelpress.worker.logs import StepLog
from modelpress.worker.watch import HUNG_AFTER_S, hung, overdue, overgrown

MB = 10**6


class Running(Attempt):
    """An attempt whose child has ``size_mb``."""

    size_mb = 0

    def rss_bytes(self) -> int:
        return self.size_mb * MB


def running(step_id: str, size_mb: int = 0, memory_mb: int | None = None, timeout_s: float | None = None) -> Running:
    facts = {"params": {}, "inputs": {}, "seed": 0, "threads": 1, "version": 1, "uses": "toys/emit"}
    limits = {"memory_mb": memory_mb, "timeout_s": timeout_s}
    attempt = Running(
        command=StepCommand(tenant="default", run_id="r", step_id=step_id, attempt=1, **facts, **limits),
        record=Record(Partition("steps.local"), 0, "r", b""),
        info=CATALOGUE["toys/emit"],
        key="0" * 64,
        cores=1,
        log=StepLog(Path("absent.log")),
        read_s=0.0,
        renewed_s=0.0,
        started_s=100.0,
    )
    attempt.size_mb = size_mb
    return attempt


def test_time_is_counted_from_the_start() -> None:
    attempt = running("s", timeout_s=5.0)
    assert overdue([attempt, running("t")], 104.9) == []
    ((late, outcome),) = overdue([attempt, running("t")], 105.0)
    assert late is attempt
    assert isinstance(outcome, StepFailed)
    assert outcome.error == "timed out after 5 s, its limit from 'timeout'"


def test_what_waits_has_time() -> None:
    attempt = running("s", timeout_s=5.0)
    attempt.started_s = math.inf
    assert overdue([attempt], 1e9) == []


def test_a_step_beyond_its_own_limit_fails_however_much_there_is() -> None:
    attempts = [running("within", 100, memory_mb=100), running("beyond", 101, memory_mb=100), running("free", 5_000)]
    ((attempt, outcome),) = overgrown(attempts, 10_000 * MB)
    assert attempt is attempts[1]
    assert isinstance(outcome, StepFailed)
    assert outcome.error == "needed more than 100 MB, its limit from 'resources.memory'"


def test_one_that_takes_nearly_all_there_is_fails() -> None:
    assert overgrown([running("s", 900)], 1_000 * MB) == []
    ((_, outcome),) = overgrown([running("s", 901)], 1_000 * MB)
    assert isinstance(outcome, StepFailed)
    assert outcome.error == "needed more than 900 MB, 90% of the memory that there is"


def test_of_several_that_take_too_much_together_the_largest_tries_later() -> None:
    attempts = [running("a", 300), running("b", 400), running("c", 201)]
    ((attempt, outcome),) = overgrown(attempts, 1_000 * MB)
    assert attempt is attempts[1]
    assert isinstance(outcome, StepInterrupted)
    assert outcome.why == "retryable"
    assert outcome.reason.startswith("it had 400 MB while other steps ran beside it")


def test_nothing_runs_nothing_is_too_much() -> None:
    assert overgrown([], 0) == []


def test_a_step_that_does_nothing_for_long_hangs() -> None:
    attempts = [running("still"), running("busy"), running("waits")]
    attempts[0].active_s, attempts[1].active_s = 100.0, 101.0
    assert hung(attempts, 100.0 + HUNG_AFTER_S - 1) == []
    ((attempt, outcome),) = hung(attempts, 100.0 + HUNG_AFTER_S)
    assert attempt is attempts[0]
    assert isinstance(outcome, StepInterrupted)
    assert (outcome.why, outcome.reason) == ("died", "it hung: it had not used the processor for 600 s")
