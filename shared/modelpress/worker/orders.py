"""What a worker is told to stop."""

from __future__ import annotations

from modelpress.bus.ports import Bus, Producer
from modelpress.engine.coordinator import letter_of
from modelpress.engine.events import CONTROL, CancelWork, StepCommand, dead_letter_message, parse_cancel
from modelpress.errors import BusError
from modelpress.worker.ear import Ear

_REMEMBERED = 10_000


class Orders:
    """The cancellations since this worker began, the last 10,000 of them: a command may come after its own."""

    def __init__(self, bus: Bus, producer: Producer) -> None:
        self._producer = producer
        self._tail = bus.tail([CONTROL], from_end=True)
        self._ear = Ear(self._tail)
        self._known: dict[tuple[str, str, int], None] = {}

    def listen(self, now_s: float) -> list[CancelWork]:
        """What is new. A record that cannot be read becomes a dead letter."""
        found = []
        for record in self._ear.listen(now_s):
            try:
                found.append(parse_cancel(record.value))
            except BusError as e:
                self._producer.send([dead_letter_message(letter_of(record, str(e)))])
        for cancel in found:
            self._remember((cancel.run_id, cancel.step_id, cancel.attempt))
        return found

    def stopped(self, command: StepCommand) -> bool:
        """Whether ``command`` was cancelled."""
        known = self._known
        return (command.run_id, "", 0) in known or (command.run_id, command.step_id, command.attempt) in known

    def fileno(self) -> int:
        return self._ear.fileno()

    def due_s(self) -> float:
        """When to `listen` although nothing came."""
        return self._ear.due_s()

    def close(self) -> None:
        self._tail.close()

    def _remember(self, order: tuple[str, str, int]) -> None:
        self._known[order] = None
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
