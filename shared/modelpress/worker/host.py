"""A worker's side of the bus: takes commands, has them done in children, tells what came of them.

Invariant: a command is claimed before its child hears of it, so that every death is counted.
Invariant: what came of a command, that it left its place, and that the group has moved on are one commit. The group
    is never moved beyond a command in flight: whoever owns the partition next does it.
Invariant: a result is accepted by the conditional create alone, and never once the step is no longer wanted.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from modelpress.artifacts.store import Store
from modelpress.bus.ports import Bus, Message, Record
from modelpress.catalogue import Catalogue
from modelpress.engine.events import (
    Event,
    StepCommand,
    StepInterrupted,
    StepLogged,
    StepProgressed,
    StepRenewed,
    StepStarted,
    StepSucceeded,
    event_message,
)
from modelpress.errors import InputError, StepError, StoreError
from modelpress.worker import results
from modelpress.worker.admission import Admission
from modelpress.worker.attempt import Attempt
from modelpress.worker.bench import Bench, Said
from modelpress.worker.children import Children
from modelpress.worker.intake import Intake
from modelpress.worker.memory import available_bytes
from modelpress.worker.orders import Orders
from modelpress.worker.outcome import Outcome, about, after_death, interrupted, refused, succeeded, without_result
from modelpress.worker.process import ChildDiedError
from modelpress.worker.protocol import Done, Failed, Log, Progress, StoreAddress
from modelpress.worker.results import StepResult
from modelpress.worker.watch import hung, overdue, overgrown

TICK_S = 0.25
"""How often running steps are looked after: time, memory, log, lease."""


class Host:
    """One worker of ``pool``, for the tenant of ``address``: does what it is granted, and trusts that it fits.

    ``children`` outlive it, and serve one host at a time. ``log_path(run, step)`` is where a step's log lies.
    ``wanted`` is asked before a step starts and before its result is accepted; ``tell`` gets progress and log lines
    as they come. Leases are renewed three times in ``lease_s``.
    """

    def __init__(
        self,
        bus: Bus,
        store: Store,
        address: StoreAddress,
        catalogue: Catalogue,
        children: Children,
        *,
        cores: int,
        log_path: Callable[[str, str], Path],
        pool: str = "local",
        lease_s: float = 30.0,
        wanted: Callable[[StepCommand], bool] = lambda command: True,
        tell: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self.worker = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._store, self._lease_s = store, lease_s
        self._still_wanted, self._tell = wanted, tell
        self._children = children
        self._admission = Admission(catalogue, address.tenant, cores, log_path)
        self._available_bytes = available_bytes()
        self._bench = Bench(children, address, cores)
        self._producer = bus.producer()
        self._intake = Intake(bus, pool, self.worker, cores)
        self._orders = Orders(bus, self._producer)
        self._out: list[Message] = []
        """Renewals, progress and offers of this turn."""
        self._tick_due_s = 0.0
        self._release_s: float | None = None

    @property
    def busy(self) -> bool:
        """Whether a step is in flight, or what came of one is not committed."""
        return bool(self._bench.attempts) or not self._intake.settled

    def advance(self) -> bool:
        """Do what can be done without waiting; True when there was anything.

        Raises:
            StoreFullError: no space is left for what came of a step; the next call says it again.
        """
        now_s = time.monotonic()
        moved = self._obey(now_s)
        moved |= self._read(now_s)
        moved |= self._hear(now_s)
        if self._bench.attempts and now_s >= self._tick_due_s:
            self._look_after(now_s)
        self._intake.commit()
        self._drop_lost()
        moved |= self._begin(now_s)
        self._bench.grow(now_s)
        self._flush()
        return moved

    def filenos(self) -> list[int]:
        """What to select on."""
        bus = [self._orders.fileno(), *([self._intake.fileno()] if self._release_s is None else [])]
        return [*bus, *(child.fileno() for child in self._children)]

    def due_s(self) -> float:
        """By when, on the monotonic clock, `advance` must be called although nothing came."""
        due_s = [self._bench.due_s(time.monotonic()), self._orders.due_s()]
        if self._release_s is None:
            due_s.append(self._intake.due_s())
        if self._bench.attempts:
            due_s.append(self._tick_due_s)
        return min(due_s)

    def stop(self, grace_s: float) -> None:
        """Take nothing new, and release what still runs after ``grace_s``. Advance until it is not `busy`.

        Commands that have not begun are left to the next owner of their partition.
        """
        self._release_s = time.monotonic() + grace_s
        self._tick_due_s = 0.0
        for attempt in self._bench.waiting:
            self._bench.drop(attempt)
        self._producer.send(self._intake.withdrawals())

    def close(self) -> None:
        """Kill what runs and leave the group; what was not committed is done by another. Again is fine."""
        for attempt in self._bench.attempts:
            self._bench.drop(attempt)
        self._intake.close()
        self._orders.close()

    def _obey(self, now_s: float) -> bool:
        cancels = self._orders.listen(now_s)
        for attempt in self._bench.attempts if cancels else ():
            if self._orders.stopped(attempt.command):
                self._bench.drop(attempt)
                self._intake.leave(attempt.record, attempt.command)
        return bool(cancels)

    def _read(self, now_s: float) -> bool:
        if self._release_s is not None:
            return False
        commands = self._intake.read(now_s)
        self._drop_lost()
        self._out += self._intake.offers(now_s)
        for record, command in commands:
            self._take(record, command, now_s)
        return bool(commands)

    def _drop_lost(self) -> None:
        """End the work whose partition is another's by now: it is that one's to do."""
        for attempt in self._bench.attempts:
            if attempt.record.partition not in self._intake.owned:
                self._bench.drop(attempt)

    def _take(self, record: Record, command: StepCommand, now_s: float) -> None:
        """Answer ``command`` from the cache, or let it wait for a child."""
        if self._is_here(command):
            self._intake.end(record)
            return
        outcome: Outcome | None = None
        if self._is_wanted(command):
            try:
                attempt = self._admission.attempt(record, command, now_s)
                outcome = self._cached(attempt)
                if outcome is None:
                    self._bench.queue(attempt)
                    return
            except (InputError, StepError, StoreError) as e:
                outcome = refused(command, e)
        made = isinstance(outcome, StepSucceeded)
        self._intake.leave(record, command, [event_message(outcome)] if outcome else [], made=made)

    def _is_here(self, command: StepCommand) -> bool:
        """Whether this very attempt is in flight: it was granted twice."""
        same = (command.name, command.attempt)
        return any((attempt.command.name, attempt.command.attempt) == same for attempt in self._bench.attempts)

    def _is_wanted(self, command: StepCommand) -> bool:
        return not self._orders.stopped(command) and self._still_wanted(command)

    def _cached(self, attempt: Attempt) -> StepSucceeded | None:
        result, broken = results.find(self._store, attempt.key)
        for what in broken:
            self._note(attempt, f"{what} of an earlier result is missing or corrupt: the step is computed again")
        return None if result is None else succeeded(attempt.command, attempt.key, result, cached=True)

    def _begin(self, now_s: float) -> bool:
        """Claim what can begin, and hand it to children."""
        moved = False
        while (attempt := self._bench.next()) is not None:
            moved = True
            if not self._is_wanted(attempt.command):
                self._bench.drop(attempt)
                self._intake.leave(attempt.record, attempt.command)
                continue
            if not self._intake.say([event_message(self._claim(attempt))]):
                break  # What it was to begin is another's by now.
            self._bench.begin(now_s)
        return moved

    def _claim(self, attempt: Attempt) -> StepStarted:
        facts = self._children.facts
        return StepStarted(**about(attempt.command), key=attempt.key, worker=self.worker, facts=facts)

    def _hear(self, now_s: float) -> bool:
        heard = self._bench.hear()
        for attempt, said in heard:
            self._answer(attempt, said, now_s)
        return bool(heard)

    def _answer(self, attempt: Attempt, said: Said, now_s: float) -> None:
        match said:
            case Progress():
                word = StepProgressed(**about(attempt.command), **said.model_dump(exclude={"type"}))
                self._tell(word)
                self._out += [event_message(due) for due in attempt.progress.tell(word, now_s)]
            case Log():
                self._tell(StepLogged(**about(attempt.command), text=said.text))
            case Done():
                self._end(attempt, self._accepted(attempt, said))
            case Failed():
                self._end(attempt, without_result(attempt.command, said))
            case ChildDiedError():
                self._end(attempt, after_death(attempt, said))

    def _accepted(self, attempt: Attempt, done: Done) -> Outcome | None:
        """The accepted result; None when it is no longer wanted."""
        command = attempt.command
        if not self._is_wanted(command):
            return None
        try:
            result = results.accept(self._store, attempt.key, StepResult(outputs=done.outputs, metrics=done.metrics))
        except StoreError as e:
            return refused(command, e)
        return succeeded(command, attempt.key, result, cached=False)

    def _look_after(self, now_s: float) -> None:
        self._tick_due_s = now_s + TICK_S
        for attempt in self._bench.attempts:
            attempt.log.limit()
            if now_s - attempt.renewed_s >= self._lease_s / 3:
                attempt.renewed_s = now_s
                self._out.append(event_message(StepRenewed(**about(attempt.command))))
        running = self._bench.running
        for attempt in running:
            attempt.look(now_s)
        excess = overdue(running, now_s) or overgrown(running, self._available_bytes) or hung(running, now_s)
        if self._release_s is not None and self._release_s <= now_s:
            excess = [(a, interrupted(a.command, "released", "its worker was asked to stop")) for a in running]
        for attempt, outcome in excess:
            self._bench.drop(attempt)
            self._end(attempt, outcome)

    def _end(self, attempt: Attempt, outcome: Outcome | None) -> None:
        """``attempt`` is off the bench; None when nothing of it is wanted."""
        out = [event_message(word) for word in attempt.progress.rest()] if outcome else []
        out += [event_message(outcome)] if outcome else []
        self._intake.leave(attempt.record, attempt.command, out, made=isinstance(outcome, StepSucceeded))
        attempt.log.limit()
        if isinstance(outcome, StepInterrupted):
            self._note(attempt, outcome.reason)

    def _note(self, attempt: Attempt, text: str) -> None:
        """A line of our own in the step's log."""
        attempt.log.note(text)
        self._tell(StepLogged(**about(attempt.command), text=text))

    def _flush(self) -> None:
        out, self._out = self._out, []
        if out:
            self._intake.say(out)
