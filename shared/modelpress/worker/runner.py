"""One command in, one outcome out: the key, the cache, the child, and which result is accepted."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.files import explaining_full
from modelpress.artifacts.store import Store
from modelpress.catalogue import Catalogue, MethodInfo
from modelpress.engine.events import (
    Event,
    StepCommand,
    StepFailed,
    StepInterrupted,
    StepLogged,
    StepProgressed,
    StepStarted,
    StepSucceeded,
)
from modelpress.errors import InputError, StepError, StoreFullError
from modelpress.pipeline.keys import step_key
from modelpress.worker import results
from modelpress.worker.fingerprint import target_fingerprint
from modelpress.worker.process import ChildDiedError, ChildProcess
from modelpress.worker.protocol import Done, Failed, Hello, Log, Progress, Reply, StepRequest, StoreAddress
from modelpress.worker.results import StepResult

TICK_S = 0.1
"""How often a running step is looked after: is it still wanted?"""


@dataclass(frozen=True)
class BrokenInputs:
    """The step cannot start: blobs of these inputs (by port) are missing or corrupt."""

    blobs: dict[str, tuple[Digest, ...]]


Outcome = StepSucceeded | StepFailed | StepInterrupted | BrokenInputs


@dataclass(frozen=True)
class Watch:
    """What a runner needs of its surroundings while a step runs.

    ``tell`` takes facts as they come; ``wanted`` says whether the step is still to be done (cancel makes it False).
    """

    tell: Callable[[Event], None]
    wanted: Callable[[], bool]


class StepRunner:
    """Runs steps one after another in one warm child, which it replaces when it died or may be damaged.

    ``log_path(run_id, step_id)`` is where a step's log lies; ``warm`` are the modules that the child keeps imported.
    """

    def __init__(
        self,
        store: Store,
        address: StoreAddress,
        catalogue: Catalogue,
        threads: int,
        log_path: Callable[[str, str], Path],
        child_log_path: Path,
        warm: Sequence[str],
    ) -> None:
        self._store = store
        self._address = address
        self._catalogue = catalogue
        self._threads = threads
        self._log_path = log_path
        self._child_log_path = child_log_path
        self._warm = warm
        self._child: ChildProcess | None = None
        self._worker: dict[str, Any] | None = None

    def run(self, command: StepCommand, watch: Watch) -> Outcome | None:
        """Do a command; None when it was no longer wanted.

        An interrupted step may be tried again. KeyboardInterrupt passes; `close` then ends what runs.
        """
        try:
            info = self._method(command)
            key = self._key(command, info)
            cached = self._cached(command, key, watch)
            return cached or self._compute(command, info, key, watch)
        except ChildDiedError as e:
            return StepInterrupted(**_about(command), reason=str(e))
        except StoreFullError as e:
            return self._failed(command, _full(command, str(e)))
        except (InputError, StepError) as e:
            return self._failed(command, str(e))

    def close(self) -> None:
        """End the child; again is fine."""
        child, self._child, self._worker = self._child, None, None
        if child is not None:
            child.kill()

    def note(self, command: StepCommand, text: str, watch: Watch) -> None:
        """A line of our own in the step's log.

        Raises:
            StoreFullError: no space is left.
        """
        path = self._log_path(command.run_id, command.step_id)
        with explaining_full(path), open(path, "a", encoding="utf-8") as log:
            log.write(f"{text}\n")
        watch.tell(StepLogged(**_about(command), text=text))

    def _method(self, command: StepCommand) -> MethodInfo:
        info = self._catalogue[command.uses]
        if info.version != command.version:
            asked, installed = command.version, info.version
            raise InputError(f"'{command.uses}' was planned as version {asked}, installed is {installed}: submit again")
        return info

    def _key(self, command: StepCommand, info: MethodInfo) -> str:
        return step_key(
            tenant=self._address.tenant,
            method=command.uses,
            version=command.version,
            params=command.params,
            inputs=command.inputs,
            seed=command.seed,
            threads=self._threads,
            extra=None if info.pure else {"target": target_fingerprint()},
        )

    def _cached(self, command: StepCommand, key: str, watch: Watch) -> StepSucceeded | None:
        result, broken = results.find(self._store, key)
        for what in broken:
            self.note(command, f"{what} of an earlier result is missing or corrupt: the step is computed again", watch)
        return None if result is None else self._succeeded(command, key, result, cached=True)

    def _compute(self, command: StepCommand, info: MethodInfo, key: str, watch: Watch) -> Outcome | None:
        try:
            reply = self._ask(command, info, key, watch)
        except BaseException:
            # Whatever it was, the child is dead or still at work on this step.
            self.close()
            raise
        if reply is None:
            self.close()
            return None
        if isinstance(reply, Failed):
            return self._without_result(command, reply)
        accepted = results.accept(self._store, key, StepResult(outputs=reply.outputs, metrics=reply.metrics))
        return self._succeeded(command, key, accepted, cached=False)

    def _ask(self, command: StepCommand, info: MethodInfo, key: str, watch: Watch) -> Done | Failed | None:
        """What the child says in the end; None when the step is no longer wanted."""
        child = self._warm_child(watch)
        if child is None:
            return None
        watch.tell(StepStarted(**_about(command), key=key, worker=dict(self._worker or {})))
        child.send(self._request(command, info, key))
        while watch.wanted():
            reply = child.receive(TICK_S)
            if isinstance(reply, Done | Failed):
                return reply if watch.wanted() else None
            if reply is not None:
                _pass_on(reply, command, watch)
        return None

    def _warm_child(self, watch: Watch) -> ChildProcess | None:
        """The child, started and warm; None when the step is no longer wanted before that.

        Raises:
            StepError: it ends by itself before it is warm, and so would the next.
        """
        if self._child is None:
            self._child = ChildProcess(self._threads, self._warm, self._child_log_path)
        while self._worker is None:
            try:
                reply = self._child.receive(TICK_S)
            except ChildDiedError as e:
                if e.returncode > 0:
                    raise StepError(f"no worker can start: {e}") from e
                raise
            if isinstance(reply, Hello):
                self._worker = reply.worker
            elif not watch.wanted():
                return None
        return self._child

    def _request(self, command: StepCommand, info: MethodInfo, key: str) -> StepRequest:
        log_path = self._log_path(command.run_id, command.step_id)
        return StepRequest(
            store=self._address,
            key=key,
            run=info.run,
            params_type=f"{info.params.__module__}:{info.params.__qualname__}",
            params=command.params,
            inputs=command.inputs,
            outputs=dict(info.outputs),
            metrics=tuple(info.metrics),
            seed=command.seed,
            threads=self._threads,
            log_path=str(log_path),
        )

    def _without_result(self, command: StepCommand, reply: Failed) -> Outcome:
        match reply.fault:
            case "retryable":
                return StepInterrupted(**_about(command), reason=reply.message)
            case "store-full":
                return self._failed(command, _full(command, reply.message))
            case "inputs-broken":
                broken = self._broken_inputs(command)
                return broken if broken.blobs else self._failed(command, reply.message)
            case "kernel":
                # Whatever the kernel left behind in the process must not reach the next step.
                self.close()
        return self._failed(command, reply.message)

    def _broken_inputs(self, command: StepCommand) -> BrokenInputs:
        blobs = {port: results.corrupt_blobs(self._store, Digest(digest)) for port, digest in command.inputs.items()}
        return BrokenInputs({port: found for port, found in blobs.items() if found})

    def _succeeded(self, command: StepCommand, key: str, result: StepResult, *, cached: bool) -> StepSucceeded:
        found = result.model_dump()
        return StepSucceeded(**_about(command), key=key, cached=cached, **found)

    def _failed(self, command: StepCommand, error: str) -> StepFailed:
        return StepFailed(**_about(command), error=error)


def _about(command: StepCommand) -> dict[str, Any]:
    return {
        "run_id": command.run_id,
        "at_s": time.time(),
        "step_id": command.step_id,
        "attempt": command.attempt,
    }


def _full(command: StepCommand, message: str) -> str:
    return f"{message}; then `modelpress resume {command.run_id}` goes on from what is finished"


def _pass_on(reply: Reply, command: StepCommand, watch: Watch) -> None:
    match reply:
        case Progress():
            figures = reply.model_dump(exclude={"type"})
            watch.tell(StepProgressed(**_about(command), **figures))
        case Log():
            watch.tell(StepLogged(**_about(command), text=reply.text))
