"""Where a worker's commands come from, and where it says that it is done with them."""

from __future__ import annotations

from collections.abc import Sequence

from modelpress.bus.ports import Bus, Message, Partition, Record
from modelpress.engine.coordinator import letter_of
from modelpress.engine.events import (
    PlaceOffered,
    PlaceWithdrawn,
    StepCommand,
    StepLeft,
    dead_letter_message,
    parse_command,
    place_message,
    steps_topic,
)
from modelpress.errors import BusError, FencedError
from modelpress.worker.ear import Ear
from modelpress.worker.marks import Marks

OFFER_EVERY_S = 10.0


class Intake:
    """The worker's place in the group of its pool: which partitions are its own, and how far they are done."""

    def __init__(self, bus: Bus, pool: str, worker: str, cores: int) -> None:
        self._pool, self._worker, self._cores = pool, worker, cores
        self._consumer = bus.consumer(f"worker.{pool}", [steps_topic(pool)])
        self._ear = Ear(self._consumer)
        self._marks = Marks()
        self._done: dict[Partition, list[tuple[int, list[Message]]]] = {}
        self._offer_due_s = 0.0
        self.owned: frozenset[Partition] = frozenset()
        """The partitions that are this worker's. What was in flight of others is no longer its business."""

    @property
    def settled(self) -> bool:
        """Whether all that ended was committed."""
        return not self._done

    def read(self, now_s: float) -> list[tuple[Record, StepCommand]]:
        """New commands. Records that hold none become dead letters."""
        records = self._ear.listen(now_s)
        self._notice(self._consumer.assigned)
        found = []
        for record in records:
            if self._marks.take(record):
                try:
                    found.append((record, parse_command(record.value)))
                except BusError as e:
                    self.end(record, [dead_letter_message(letter_of(record, str(e)))])
        return found

    def say(self, messages: Sequence[Message]) -> bool:
        """Say something about commands; False when this worker is out of the group, and nothing was said."""
        try:
            self._consumer.commit({}, messages)
        except FencedError:
            self._notice(frozenset())
            return False
        return True

    def leave(self, record: Record, command: StepCommand, out: Sequence[Message] = (), *, made: bool = False) -> None:
        """The worker is done with ``command``: its place is free, and ``out`` is what came of it.

        ``made`` says that the result of the command's key is there.
        """
        left = StepLeft(
            pool=self._pool,
            partition=record.partition.number,
            run_id=command.run_id,
            step_id=command.step_id,
            attempt=command.attempt,
            made=made,
        )
        self.end(record, [*out, place_message(left)])

    def end(self, record: Record, out: Sequence[Message] = ()) -> None:
        """``record`` is done; `commit` says ``out``."""
        self._done.setdefault(record.partition, []).append((record.offset, list(out)))

    def commit(self) -> None:
        """Move the group on over all that ended, and say what came of it.

        A partition that is another's by now takes its outcomes along: its new owner does those commands. As this
        worker may be out of the group, everything begins anew then: nothing is `owned` until the next `read`.

        Raises:
            StoreFullError: no space is left; what was not said is said by the next `commit`.
        """
        for partition, done in list(self._done.items()):
            offsets = {offset for offset, _ in done}
            out = [message for _, messages in done for message in messages]
            try:
                self._consumer.commit({partition: self._marks.mark(partition, offsets)}, out)
            except FencedError:
                self._notice(frozenset())
                return
            self._marks.close(partition, offsets)
            del self._done[partition]

    def offers(self, now_s: float) -> list[Message]:
        """The places that this worker has, as is to be said now: after each change, and every ten seconds."""
        if now_s < self._offer_due_s:
            return []
        self._offer_due_s = now_s + OFFER_EVERY_S
        each, more = divmod(self._cores, max(1, len(self.owned)))
        cores = {partition: each + (index < more) for index, partition in enumerate(sorted(self.owned))}
        return [self._offer(partition, count) for partition, count in cores.items() if count]

    def withdrawals(self) -> list[Message]:
        """No place is to be had here any more."""
        words = (PlaceWithdrawn(pool=self._pool, worker=self._worker, partition=p.number) for p in sorted(self.owned))
        return [place_message(word) for word in words]

    def fileno(self) -> int:
        return self._ear.fileno()

    def due_s(self) -> float:
        """When to `read` or to offer although nothing came."""
        return min(self._ear.due_s(), self._offer_due_s)

    def close(self) -> None:
        self._consumer.close()

    def _offer(self, partition: Partition, cores: int) -> Message:
        return place_message(
            PlaceOffered(pool=self._pool, worker=self._worker, partition=partition.number, cores=cores)
        )

    def _notice(self, assigned: frozenset[Partition]) -> None:
        """Forget what is no longer ours; whatever is ours now is to be offered."""
        if assigned == self.owned:
            return
        for partition in self.owned - assigned:
            self._marks.forget(partition)
            self._done.pop(partition, None)
        self.owned = assigned
        self._offer_due_s = 0.0
        self._ear.wake()
