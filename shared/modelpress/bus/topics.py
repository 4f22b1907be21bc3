"""What adapters check of topics, and what they say."""

from __future__ import annotations

from collections.abc import Iterable

from modelpress.bus.ports import Message, Partition, Topic, partition_of
from modelpress.errors import BusError, nearest


def unknown(name: str, known: Iterable[str]) -> BusError:
    return BusError(f"the bus has no topic '{name}': {nearest(name, known)}")


def check_same(there: Topic, asked: Topic) -> None:
    """Refuse what can never be changed.

    Raises:
        BusError: ``there`` is not as ``asked``.
    """
    if there != asked:
        raise BusError(f"the bus has {_told(there)}, not {_told(asked)}: a topic never changes, take another name")


def place(message: Message, topic: Topic) -> Partition:
    """Where ``message`` goes.

    Raises:
        BusError: it names a partition that ``topic`` has not.
    """
    if message.partition is None:
        return Partition(topic.name, partition_of(message.key, topic.partitions))
    if not 0 <= message.partition < topic.partitions:
        raise BusError(f"the bus has {_told(topic)}, so there is no partition {message.partition} for '{message.key}'")
    return Partition(topic.name, message.partition)


def partitions_of(topics: Iterable[Topic]) -> list[Partition]:
    return [Partition(topic.name, number) for topic in topics for number in range(topic.partitions)]


def _told(topic: Topic) -> str:
    plural = "" if topic.partitions == 1 else "s"
    kind = "compacted topic" if topic.compacted else "topic"
    return f"the {kind} '{topic.name}' with {topic.partitions} partition{plural}"
