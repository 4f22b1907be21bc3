"""The watchdog on running steps: time and memory. It ends a step before the kernel ends the whole worker."""

from __future__ import annotations

from collections.abc import Sequence

from modelpress.worker.attempt import Attempt
from modelpress.worker.outcome import Outcome, failed, interrupted

SHARE_OF_MEMORY = 0.9
"""Of the machine's memory, for all steps together: the rest is the parent's, the system's, and what is allocated
between two looks."""
HUNG_AFTER_S = 600.0
"""Without any use of the processor: whatever computes, reads or waits for an accelerator uses some of it."""
_MB = 10**6

Excess = tuple[Attempt, Outcome]


def overdue(attempts: Sequence[Attempt], now_s: float) -> list[Excess]:
    """Those whose time is up."""
    late = (attempt for attempt in attempts if attempt.overdue_s <= now_s)
    return [
        (a, failed(a.command, f"timed out after {a.command.timeout_s:g} s, its limit from 'timeout'")) for a in late
    ]


def hung(attempts: Sequence[Attempt], now_s: float) -> list[Excess]:
    """Those that do nothing any more, although nothing limits their time."""
    still = (attempt for attempt in attempts if now_s - attempt.active_s >= HUNG_AFTER_S)
    reason = f"it hung: it had not used the processor for {HUNG_AFTER_S:g} s"
    return [(attempt, interrupted(attempt.command, "died", reason)) for attempt in still]


def overgrown(attempts: Sequence[Attempt], available_bytes: int) -> list[Excess]:
    """Those that have more memory than they asked for; else the largest, when all together have too much."""
    sizes_bytes = {attempt: attempt.rss_bytes() for attempt in attempts}
    found = [
        (attempt, _above_its_own(attempt)) for attempt, size in sizes_bytes.items() if size > _limit_bytes(attempt)
    ]
    shared_bytes = int(SHARE_OF_MEMORY * available_bytes)
    if found or sum(sizes_bytes.values()) <= shared_bytes:
        return found
    largest = max(attempts, key=sizes_bytes.__getitem__)
    if len(attempts) > 1:
        reason = f"it had {sizes_bytes[largest] // _MB} MB while other steps ran beside it, which together is too much"
        return [(largest, interrupted(largest.command, "retryable", reason))]
    error = f"needed more than {shared_bytes // _MB} MB, {SHARE_OF_MEMORY:.0%} of the memory that there is"
    return [(largest, failed(largest.command, error))]


def _limit_bytes(attempt: Attempt) -> float:
    limit_mb = attempt.command.memory_mb
    return float("inf") if limit_mb is None else limit_mb * _MB


def _above_its_own(attempt: Attempt) -> Outcome:
    return failed(
        attempt.command, f"needed more than {attempt.command.memory_mb} MB, its limit from 'resources.memory'"
    )
