"""Dead letters: records that could not be read and steps that failed, kept until they are replayed or dropped."""

from __future__ import annotations

import base64

from pydantic import ValidationError

from modelpress.bus.ports import Bus, Message, latest
from modelpress.engine.events import DEAD_LETTERS, DeadLetter


def read(bus: Bus) -> tuple[DeadLetter, ...]:
    """Every letter, oldest first."""
    letters = [_letter(key, value) for key, value in latest(bus, DEAD_LETTERS).items()]
    return tuple(sorted(letters, key=lambda letter: (letter.at_s, letter.id)))


def _letter(key: str, value: bytes) -> DeadLetter:
    """The letter; of one that cannot be read, a letter about it, so that it can be seen and dropped."""
    try:
        return DeadLetter.model_validate_json(value)
    except ValidationError:
        error = "this letter cannot be read by this version of modelpress"
        raw = base64.b64encode(value).decode()
        return DeadLetter(id=key, at_s=0.0, topic=DEAD_LETTERS, key=key, error=error, value=raw)


def original(letter: DeadLetter) -> Message:
    """The record that could not be read, as it was."""
    return Message(letter.topic, letter.key, base64.b64decode(letter.value), letter.partition)


def dropped(letter: DeadLetter) -> Message:
    """What takes the letter out of its topic."""
    return Message(DEAD_LETTERS, letter.id, b"")
