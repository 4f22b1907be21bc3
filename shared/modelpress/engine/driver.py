"""The embedded engine: one process drives a home, coordinator and worker in one thread, kernels in warm children."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.refs import broken_blobs
from modelpress.artifacts.store import Store
from modelpress.bus.ports import Bus, Message, drain
from modelpress.catalogue import Catalogue
from modelpress.config.settings import Settings, usable_cores
from modelpress.engine import letters
from modelpress.engine.coordinator import Coordinator
from modelpress.engine.events import (
    PROGRESS,
    DeadLetter,
    RunCancelled,
    RunSubmitted,
    StepProgressed,
    event_message,
    readable,
    topics,
)
from modelpress.engine.fold import submitted
from modelpress.engine.follower import Follower, OnEvent, OnState
from modelpress.engine.home import TENANT, Home
from modelpress.engine.records import RunsView, run_messages
from modelpress.engine.session import drive, interruptible
from modelpress.engine.state import RunState
from modelpress.errors import HomeBusyError, InputError, NotFoundError, nearest
from modelpress.pipeline.plan import Plan, PlannedStep
from modelpress.worker.children import Children
from modelpress.worker.fingerprint import provenance
from modelpress.worker.host import Host

WARM = ("numpy", "torch")
"""What the worker's processes keep imported."""
POOL = "local"
TAKE_OVER_S = 0.25
"""How often a follower looks whether the home's driver is gone."""
SETTLE_S = 2.0
"""How long a caller waits for another process to fold what it asked for."""

OnWait = Callable[[], None]


class Engine:
    """Submits, drives, reads. Any number of processes may use one home; one of them at a time drives it.

    ``settings.threads`` are the threads of a step that asks for none; ``warm`` are modules that workers keep imported.
    ``close`` ends the workers' processes.
    """

    def __init__(self, home: Home, catalogue: Catalogue, settings: Settings, *, warm: Sequence[str] = WARM) -> None:
        self.home = home
        self.store: Store = home.open_store()
        self._bus: Bus = home.open_bus()
        self._bus.ensure(topics((POOL,)))
        self._view = RunsView(self._bus)
        self._catalogue = catalogue
        self._threads = settings.threads
        self._cores = max(settings.threads, usable_cores())
        self._warm = tuple(warm)
        self._children: Children | None = None
        """Started by the first `drive`: who only reads needs none."""
        self._driving = False

    def submit(
        self,
        plan: Plan,
        inputs: Mapping[str, Digest],
        resumed_from: str = "",
        priority: int = 0,
        threads: int | None = None,
    ) -> str:
        """Record a run; its id. It waits until something drives the home.

        Raises:
            InputError: an input of the plan has no digest, or is not whole.
            NotFoundError: a method of the plan is not installed; offers the nearest.
        """
        missing = sorted(set(plan.inputs) - set(inputs))
        if missing:
            raise InputError(f"the inputs {', '.join(missing)} of '{plan.name}' have no digest: resolve them first")
        for name, digest in inputs.items():
            # What is found whole is young again, so that no collection takes it before the run is known.
            if broken := broken_blobs(self.store, digest):
                raise InputError(f"inputs.{name}: blob {broken[0]} is missing or corrupt: push it again")
        for step in plan.steps:
            self._catalogue[step.uses]
        now_s = time.time()
        event = RunSubmitted(
            run_id=_new_run_id(now_s),
            at_s=now_s,
            plan=plan,
            inputs=dict(inputs),
            tenant=TENANT,
            threads=threads or self._threads,
            priority=priority,
            provenance=provenance(threads or self._threads),
            resumed_from=resumed_from,
        )
        # With its records, so that every reader knows the run before anything drives the home.
        self._send(*run_messages(submitted(event)), event_message(event))
        return event.run_id

    def drive(
        self,
        run_id: str,
        on_event: OnEvent | None = None,
        on_state: OnState | None = None,
        on_wait: OnWait | None = None,
    ) -> RunState:
        """Drive every unfinished run of the home until ``run_id`` is final; its state.

        While another process drives the home this one follows, and takes over when that one is gone. ``on_event``
        gets the events of every run as they come, progress and (while this process drives) log lines too;
        ``on_state`` the state of ``run_id`` after each change; ``on_wait`` is called now and then while another
        process drives. Ctrl-C cancels ``run_id`` and passes; the other runs stay as they are. Killed, the next call
        goes on from what is finished.

        Raises:
            NotFoundError: there is no such run.
            StoreFullError: the bus has no space left; the run goes on when it is driven again.
        """
        listeners = (on_event or _ignore, on_state or _ignore, on_wait or _nothing)
        return self._until_final(run_id, *listeners, driving=True)

    def watch(
        self,
        run_id: str,
        on_event: OnEvent | None = None,
        on_state: OnState | None = None,
        on_wait: OnWait | None = None,
    ) -> RunState:
        """As `drive`, but only look on, whether or not anything drives; KeyboardInterrupt passes, changing nothing.

        Raises:
            NotFoundError: there is no such run.
        """
        listeners = (on_event or _ignore, on_state or _ignore, on_wait or _nothing)
        return self._until_final(run_id, *listeners, driving=False)

    def runs(self) -> tuple[RunState, ...]:
        """Every run, newest first."""
        self._view.refresh()
        return tuple(reversed(self._view.states()))

    def unreadable(self) -> dict[str, str]:
        """Runs whose records are damaged or another version's, and why. `runs` leaves them out; `remove` takes them."""
        self._view.refresh()
        return self._view.unreadable()

    def get(self, run_id: str) -> RunState:
        """The run called ``run_id``, or the only one whose id begins so.

        Raises:
            NotFoundError: there is none, or several.
            BusError: it cannot be read.
        """
        self._view.refresh()
        known = self._view.get(run_id)
        if known is not None:
            return known
        ids = [state.run_id for state in self._view.states()]
        found = [known_id for known_id in ids if run_id and known_id.startswith(run_id)]
        if len(found) > 1:
            raise NotFoundError(f"several runs begin with '{run_id}': {', '.join(found)}")
        if not found:
            raise NotFoundError(f"there is no run '{run_id}': {nearest(run_id, ids)}")
        return self.get(found[0])

    def cancel(self, run_id: str) -> RunState:
        """Cancel a run that is not final; whoever drives it kills its steps. The state after it.

        Raises:
            NotFoundError: there is no such run.
        """
        state = self.get(run_id)
        if state.status.final:
            return state
        self._send(event_message(RunCancelled(run_id=state.run_id, at_s=time.time())))
        return self._settled(state.run_id)

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
        # With its own threads, which are part of every step's key: another setting would make nothing a cache hit.
        return self.submit(state.plan, inputs, state.run_id, state.priority, state.threads)

    def remove(self, run_id: str) -> None:
        """Forget a final run, or one that cannot be read, and its logs.

        Its artifacts and results stay until they are collected.

        Raises:
            NotFoundError: there is no such run.
            InputError: it has not ended.
        """
        if run_id not in self.unreadable():
            state = self.get(run_id)
            if not state.status.final:
                raise InputError(f"run {state.run_id} is {state.status}: cancel it first")
            run_id = state.run_id
        self._send(*self._view.removal(run_id))
        logs = self.home.logs_path(run_id)
        if logs.is_dir():
            shutil.rmtree(logs)

    def adopt(self, state: RunState) -> None:
        """Record a final run that another home brought here; again is fine.

        Raises:
            InputError: it has not ended.
        """
        if not state.status.final:
            raise InputError(f"run {state.run_id} is {state.status}: only a run that ended can be brought here")
        self._send(*run_messages(state))

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
        with contextlib.closing(self._bus.tail([PROGRESS])) as tail:
            events = readable(record for record in drain(tail) if record.key == run_id)
            return tuple(event for event in events if isinstance(event, StepProgressed))

    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """What could not be done or read, oldest first."""
        return letters.read(self._bus)

    def replay(self, letter_id: str) -> str:
        """Try a dead letter again and drop it: a step's run is resumed (the new run's id), a record is sent anew.

        Raises:
            NotFoundError: there is no such letter, or its run is gone.
        """
        letter = self._letter(letter_id)
        run_id = self.resume(letter.command.run_id) if letter.command else ""
        again = [] if letter.command else [letters.original(letter)]
        self._send(*again, letters.dropped(letter))
        return run_id

    def drop(self, letter_id: str) -> None:
        """Forget a dead letter.

        Raises:
            NotFoundError: there is no such letter.
        """
        self._send(letters.dropped(self._letter(letter_id)))

    def driver_pid(self) -> int | None:
        """The process that drives the home now, None where none does."""
        return self.home.driver_pid()

    def close(self) -> None:
        if self._children is not None:
            self._children.close()
        self._view.close()
        self._bus.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _until_final(
        self, run_id: str, on_event: OnEvent, on_state: OnState, on_wait: OnWait, *, driving: bool
    ) -> RunState:
        run_id = self.get(run_id).run_id
        with contextlib.closing(Follower(self._bus, self._view, run_id, on_event, on_state)) as follower:
            while not (state := follower.look()).status.final:
                if driving:
                    try:
                        with self.home.driving():
                            follower.catch_up()
                            self._drive(run_id, on_event, on_state)
                        return self.get(run_id)
                    except HomeBusyError:  # another process drives: look on until it is gone
                        pass
                on_wait()
                follower.wait(TAKE_OVER_S)
        return state

    def _drive(self, run_id: str, on_event: OnEvent, on_state: OnState) -> None:
        """Drive until ``run_id`` is final. The caller holds the home's lock."""
        told: list[RunState | None] = [None]

        def final() -> bool:
            state = coordinator.get(run_id)
            if state is not None and state is not told[0]:
                told[0] = state
                on_state(state)
            return state is not None and state.status.final

        with (
            self._coordinator(on_event) as coordinator,
            contextlib.closing(self._host(on_event)) as host,
            interruptible() as interrupt,
        ):
            self._driving = True
            try:
                drive([coordinator, host, interrupt], lambda: final() or interrupt.set)
                if interrupt.set:
                    self._send(event_message(RunCancelled(run_id=run_id, at_s=time.time())))
                    drive([coordinator, host], final)
            finally:
                self._driving = False
            # Other runs' steps are given back, so that their end here counts as nobody's death.
            host.stop(0.0)
            drive([host], lambda: not host.busy)
        if interrupt.set:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def _coordinator(self, on_event: OnEvent) -> Iterator[Coordinator]:
        with contextlib.closing(Coordinator(self._bus, _pool_of, on_event=on_event, view=self._view)) as coordinator:
            yield coordinator

    def _host(self, tell: OnEvent) -> Host:
        if self._children is None:
            self._children = Children(self._warm, self.home.worker_log_path, self._cores)
        return Host(
            self._bus,
            self.store,
            self.home.store_address,
            self._catalogue,
            self._children,
            pool=POOL,
            cores=self._cores,
            log_path=self.home.log_path,
            tell=tell,
        )

    def _settled(self, run_id: str) -> RunState:
        """The run once what was asked for is folded: by us where nothing drives the home, else by its driver.

        Called from within our own driving (a listener cancels), it is as it was: the fold follows.
        """
        deadline_s = time.monotonic() + SETTLE_S
        while not (state := self.get(run_id)).status.final and time.monotonic() < deadline_s and not self._driving:
            with contextlib.suppress(HomeBusyError), self.home.driving(), self._coordinator(_ignore) as coordinator:
                while coordinator.advance():
                    pass
            time.sleep(0.0 if self.get(run_id).status.final else 0.005)
        return state

    def _letter(self, letter_id: str) -> DeadLetter:
        known = {letter.id: letter for letter in self.dead_letters()}
        if letter_id not in known:
            raise NotFoundError(f"there is no dead letter '{letter_id}': {nearest(letter_id, known)}")
        return known[letter_id]

    def _send(self, *messages: Message) -> None:
        self._bus.producer().send(messages)


def _pool_of(planned: PlannedStep) -> str:
    """Embedded, one worker does every service's steps."""
    return POOL


def _new_run_id(now_s: float) -> str:
    """Sorts by time and can be told apart and typed: ``20261124-083012-7f3a19c4`` (UTC)."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now_s))}-{secrets.token_hex(4)}"


def _ignore(what: object) -> None:
    """Nobody listens."""


def _nothing() -> None:
    """Nobody waits."""
