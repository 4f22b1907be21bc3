"""The embedded engine: one process drives a home, coordinator and worker in one thread, kernels in one warm child."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.store import Store
from modelpress.bus.ports import drain
from modelpress.catalogue import Catalogue
from modelpress.config.settings import Settings
from modelpress.engine.coordinator import read_states
from modelpress.engine.events import (
    PROGRESS,
    Event,
    RunCancelled,
    RunSubmitted,
    StepProgressed,
    event_message,
    parse_event,
)
from modelpress.engine.home import Home
from modelpress.engine.session import Session
from modelpress.engine.state import RunState
from modelpress.errors import InputError, NotFoundError, nearest
from modelpress.pipeline.plan import Plan
from modelpress.worker.fingerprint import provenance
from modelpress.worker.runner import StepRunner

WARM = ("numpy", "torch")
"""What the worker's process keeps imported."""

OnEvent = Callable[[Event], None]


class Engine:
    """Submits, drives, reads. Only `drive` needs the home's lock; `close` ends the worker's process.

    ``settings.threads`` are the threads of every step; ``warm`` are modules that the worker keeps imported.
    """

    def __init__(self, home: Home, catalogue: Catalogue, settings: Settings, *, warm: Sequence[str] = WARM) -> None:
        self.home = home
        self.store: Store = home.open_store()
        self._bus = home.open_bus()
        self._catalogue = catalogue
        self._threads = settings.threads
        self._runner = StepRunner(
            self.store, home.store_address, catalogue, settings.threads, home.log_path, home.worker_log_path, warm
        )

    def submit(self, plan: Plan, inputs: Mapping[str, Digest], resumed_from: str = "") -> str:
        """Record a run; its id. It waits until something drives the home.

        Raises:
            InputError: an input of the plan has no digest.
            NotFoundError: a method of the plan is not installed; offers the nearest.
        """
        missing = sorted(set(plan.inputs) - set(inputs))
        if missing:
            raise InputError(f"the inputs {', '.join(missing)} of '{plan.name}' have no digest: resolve them first")
        for step in plan.steps:
            self._catalogue[step.uses]
        now_s = time.time()
        submitted = RunSubmitted(
            run_id=_new_run_id(now_s),
            at_s=now_s,
            plan=plan,
            inputs=dict(inputs),
            provenance=provenance(self._threads),
            resumed_from=resumed_from,
        )
        self._send(submitted)
        return submitted.run_id

    def drive(self, run_id: str, on_event: OnEvent | None = None) -> RunState:
        """Drive every unfinished run of the home until ``run_id`` is final; its state. Runs take turns.

        ``on_event`` gets every event of every run as it comes, progress and log lines too. Ctrl-C cancels ``run_id``
        and passes; the other runs stay as they are. Killed, the next call goes on from what is finished.

        Raises:
            HomeBusyError: another process drives the home.
            NotFoundError: there is no such run.
            StoreFullError: the bus has no space left; the run goes on when it is driven again.
        """
        state = self.get(run_id)
        if state.status.final:
            return state
        tell = on_event or _ignore
        with self.home.driving():
            try:
                return Session(self._bus, self.store, self._catalogue, self._runner, tell).until_final(state.run_id)
            except KeyboardInterrupt:
                self._runner.close()
                self.cancel(state.run_id, tell)
                raise

    def runs(self) -> tuple[RunState, ...]:
        """Every run, newest first."""
        return tuple(reversed(read_states(self._bus).values()))

    def get(self, run_id: str) -> RunState:
        """The run called ``run_id``, or the only one whose id begins so.

        Raises:
            NotFoundError: there is none, or several.
        """
        states = read_states(self._bus)
        if run_id in states:
            return states[run_id]
        found = [state for known, state in states.items() if run_id and known.startswith(run_id)]
        if len(found) > 1:
            raise NotFoundError(f"several runs begin with '{run_id}': {', '.join(state.run_id for state in found)}")
        if not found:
            raise NotFoundError(f"there is no run '{run_id}': {nearest(run_id, states)}")
        return found[0]

    def cancel(self, run_id: str, on_event: OnEvent | None = None) -> RunState:
        """Cancel a run that is not final; whoever drives it kills its step. The state after it.

        Raises:
            NotFoundError: there is no such run.
        """
        state = self.get(run_id)
        if state.status.final:
            return state
        cancelled = RunCancelled(run_id=state.run_id, at_s=time.time())
        self._send(cancelled)
        (on_event or _ignore)(cancelled)
        return self.get(state.run_id)

    def resume(self, run_id: str) -> str:
        """Submit a final run's plan and inputs again; the new run's id. Steps that finished are cache hits.

        A run that has not ended needs no copy: its own id comes back, and driving it goes on.

        Raises:
            NotFoundError: there is no such run, or a method of it is no longer installed.
        """
        state = self.get(run_id)
        if not state.status.final:
            return state.run_id
        inputs = {name: Digest(digest) for name, digest in state.inputs.items()}
        return self.submit(state.plan, inputs, resumed_from=state.run_id)

    def logs(self, run_id: str, step_id: str) -> str:
        """What a step wrote so far, in all its attempts; empty where it wrote nothing.

        Raises:
            NotFoundError: there is no such run or step.
        """
        state = self.get(run_id)
        if step_id not in state.steps:
            raise NotFoundError(f"run {state.run_id} has no step '{step_id}': {nearest(step_id, state.steps)}")
        path = self.home.log_path(state.run_id, step_id)
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def progress(self, run_id: str) -> tuple[StepProgressed, ...]:
        """All progress of a run's steps, oldest first: the curves of its training.

        Raises:
            NotFoundError: there is no such run.
        """
        run_id = self.get(run_id).run_id
        records = (record for record in drain(self._bus.tail([PROGRESS])) if record.key == run_id)
        events = (parse_event(record.value) for record in records)
        return tuple(event for event in events if isinstance(event, StepProgressed))

    def close(self) -> None:
        self._runner.close()
        self._bus.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _send(self, event: Event) -> None:
        self._bus.producer().send([event_message(event)])


def _new_run_id(now_s: float) -> str:
    """Sorts by time and can be told apart and typed: ``20261124-083012-7f3a`` (UTC)."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now_s))}-{secrets.token_hex(2)}"


def _ignore(event: Event) -> None:
    """Nobody listens."""
