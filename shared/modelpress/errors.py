"""Every error that modelpress raises on purpose, in one tree.

    ModelpressError
    ├── InputError                what the user gave is wrong (exit code 2)
    │   ├── SpecError             a pipeline file: carries every violation, each with its path
    │   ├── ExportError           a module that does not export or lift
    │   ├── ModelFormatError      bytes that are no valid model
    │   ├── DataError             a dataset that cannot be used
    │   └── NotFoundError         a name that stands for nothing; offers the nearest
    ├── StoreError                the artifact store
    │   ├── CorruptBlobError      bytes that do not match their digest
    │   └── StoreFullError        no space left; what is stored stays readable
    ├── BusError                  the bus
    │   └── FencedError           a newer consumer of the group took over
    ├── StepError                 a step that failed; says whether trying again can help
    ├── HomeBusyError             another process drives this home
    └── MissingExtraError         an optional dependency that is not installed

A message says what was wrong, where, and what would be right.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class ModelpressError(Exception):
    """Root of the tree."""


class InputError(ModelpressError):
    """What the user gave is wrong; nothing was written."""


@dataclass(frozen=True)
class Violation:
    """One fault of an input: ``path`` like ``steps[3].with.sparsity``, ``message``, and what would be right.

    ``line`` and ``column`` say where it stands in the file, counted from 1, or 0 where there is none. ``source`` is
    the file where that is not the one that was given, but one that it names.
    """

    path: str
    message: str
    suggestion: str = ""
    line: int = 0
    column: int = 0
    source: str = ""

    def __str__(self) -> str:
        file = f"{self.source}: " if self.source else ""
        column = f", column {self.column}" if self.column else ""
        place = f" (line {self.line}{column})" if self.line else ""
        hint = f" ({self.suggestion})" if self.suggestion else ""
        return f"{file}{self.path}{place}: {self.message}{hint}"


class SpecError(InputError):
    """A pipeline that cannot work, with *all* its faults."""

    def __init__(self, violations: Sequence[Violation], source: str = "pipeline") -> None:
        self.violations = tuple(violations)
        self.source = source
        count = len(self.violations)
        head = f"{source} has {count} fault{'s' if count != 1 else ''}:"
        super().__init__("\n".join([head, *(f"  {v}" for v in self.violations)]))


class ExportError(InputError):
    """A module that ``torch.export`` or lifting refuses; names the operator and the user's line."""


class ModelFormatError(InputError):
    """Bytes that are no valid model: unknown target, wrong shape, truncated tensor, forbidden name."""


class DataError(InputError):
    """A dataset that cannot be used: labels out of range, NaN, wrong shapes."""


class NotFoundError(InputError):
    """A name that stands for nothing."""


class StoreError(ModelpressError):
    """The artifact store could not do what was asked."""


class CorruptBlobError(StoreError):
    """Bytes that do not match their digest."""

    def __init__(self, digest: str, where: str) -> None:
        self.digest = digest
        super().__init__(f"blob {digest} is corrupt at {where}: its bytes have another digest")


class StoreFullError(StoreError):
    """No space left on the store's device."""


class BusError(ModelpressError):
    """The bus could not do what was asked."""


class FencedError(BusError):
    """A newer consumer of the group took over; what was to be committed was not."""


class StepError(ModelpressError):
    """A step that failed."""

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        self.retryable = retryable
        super().__init__(message)


class HomeBusyError(ModelpressError):
    """Another process drives this home."""


class MissingExtraError(ModelpressError):
    """An optional dependency that is not installed; the message names the extra."""


MAX_NAMED = 40
"""Of the names that there are, how many a message lists."""


def nearest(name: str, known: Iterable[str]) -> str:
    """``"did you mean 'x'?"`` for the closest of ``known``, or a list of what there is.

    >>> nearest("pruner/l1-filtr", ["pruner/l1-filter", "distiller/kd"])
    "did you mean 'pruner/l1-filter'?"
    """
    options = sorted(known)
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    more = f" and {len(options) - MAX_NAMED} more" if len(options) > MAX_NAMED else ""
    return f"known: {', '.join(options[:MAX_NAMED])}{more}" if options else "there are none"
