"""Dead letters: records that could not be read and steps that failed, kept until they are replayed or dropped."""

from __future__ import annotations

import base64

from pydantic import ValidationError

from modelpress.bus.ports import Bus, Message, latest
from modelpress.engine.events import DEAD_LETTERS, DeadLetter
from modelpress.errors import BusError


def read(bus: Bus) -> tuple[DeadLetter, ...]:
    """Every letter, oldest first.

    Raises:
        BusError: one was written by a newer version.
    """
    try:
        letters = [DeadLetter.model_validate_json(value) for value in latest(bus, DEAD_LETTERS).values()]
    except ValidationError as e:
        raise BusError(f"a dead letter cannot be read by this version of modelpress: {e}") from e
    return tuple(sorted(letters, key=lambda letter: (letter.at_s, letter.id)))


def original(letter: DeadLetter) -> Message:
    """The record that could not be read, as it was."""
    return Message(letter.topic, letter.key, base64.b64decode(letter.value), letter.partition)


def dropped(letter: DeadLetter) -> Message:
    """What takes the letter out of its topic."""
    return Message(DEAD_LETTERS, letter.id, b"")
