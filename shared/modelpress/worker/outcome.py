"""The facts that a worker tells about a command."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from modelpress.engine.events import Interruption, StepCommand, StepFailed, StepInterrupted, StepSucceeded
from modelpress.errors import ModelpressError, StoreFullError
from modelpress.worker.attempt import Attempt
from modelpress.worker.process import ChildDiedError
from modelpress.worker.protocol import Failed
from modelpress.worker.results import StepResult

Outcome = StepSucceeded | StepFailed | StepInterrupted


def about(command: StepCommand) -> dict[str, Any]:
    """The fields that every fact about ``command`` has."""
    return {
        "run_id": command.run_id,
        "at_s": time.time(),
        "step_id": command.step_id,
        "attempt": command.attempt,
    }


def succeeded(command: StepCommand, key: str, result: StepResult, *, cached: bool) -> StepSucceeded:
    return StepSucceeded(**about(command), key=key, outputs=result.outputs, metrics=result.metrics, cached=cached)


def failed(command: StepCommand, error: str) -> StepFailed:
    return StepFailed(**about(command), error=error)


def refused(command: StepCommand, error: ModelpressError) -> StepFailed:
    """The step cannot be done for what this process met."""
    return failed(command, _full(command, str(error)) if isinstance(error, StoreFullError) else str(error))


def interrupted(
    command: StepCommand, why: Interruption, reason: str, broken: Mapping[str, tuple[str, ...]] | None = None
) -> StepInterrupted:
    return StepInterrupted(**about(command), why=why, reason=reason, broken=dict(broken or {}))


def without_result(command: StepCommand, reply: Failed) -> Outcome:
    """What a child's failure means for the step."""
    match reply.fault:
        case "retryable":
            return interrupted(command, "retryable", reply.message)
        case "store-full":
            return failed(command, _full(command, reply.message))
        case "inputs-broken" if reply.broken:
            return interrupted(command, "inputs", reply.message, reply.broken)
    return failed(command, reply.message)


def after_death(attempt: Attempt, death: ChildDiedError) -> Outcome:
    """What it means that the child that did ``attempt``, or that was to do it, has ended."""
    command = attempt.command
    if attempt.child is None and death.returncode > 0:
        return failed(command, f"no worker can start: {death}")
    words = attempt.log.last_words()
    return interrupted(command, "died", f"{death}; the last that the step wrote: {words}" if words else str(death))


def _full(command: StepCommand, message: str) -> str:
    return f"{message}; then `modelpress resume {command.run_id}` goes on from what is finished"
