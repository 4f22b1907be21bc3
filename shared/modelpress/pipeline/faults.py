"""All faults of a pipeline and of those that it names, each told once and where it stands."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from modelpress.errors import SpecError, Violation
from modelpress.pipeline.spec import PipelineSpec
from modelpress.pipeline.tree import Leaf, Scope

MAX_FAULTS = 200
"""Looking for more is given up: nobody reads them, and each costs a search for what was meant."""


class Faults:
    """Of ``main`` and of the files that it names.

    A step of a block is met once a copy. What is wrong with it is told by the first copy that meets it (its ``owner``),
    or a typo in a block of 100 branches would be 100 faults.
    """

    def __init__(self, main: PipelineSpec) -> None:
        self._main = main
        self._found: list[tuple[int, Violation]] = []
        self._owners: dict[tuple[str, str], str] = {}
        self._files: dict[str, int] = {main.source: 0}

    def add(self, file: PipelineSpec, found: Iterable[Violation], owner: str = "") -> None:
        """Note what ``owner`` found in ``file``.

        Raises:
            SpecError: these are more than `MAX_FAULTS`.
        """
        for fault in found:
            if self._owners.setdefault((file.source, fault.path), owner) == owner:
                number = self._files.setdefault(file.source, len(self._files))
                self._found.append((number, self._located(file, fault)))
            if len(self._found) > MAX_FAULTS:
                raise self._error(self._found[:MAX_FAULTS], f"there are more than these {MAX_FAULTS}")

    def tell(self, scope: Scope, path: str, message: str, suggestion: str, leaf: Leaf | None = None) -> None:
        """Note one that ``leaf``, or else ``scope`` as a whole, found in the file of ``scope``."""
        self.add(scope.file, [Violation(path, message, suggestion)], leaf.id if leaf else scope.prefix)

    def check(self) -> None:
        """Nothing where there is no fault.

        Raises:
            SpecError: with all of them, by file and line.
        """
        if self._found:
            raise self._error(self._found)

    def _error(self, found: list[tuple[int, Violation]], more: str = "") -> SpecError:
        ordered = [fault for _, fault in sorted(found, key=lambda numbered: (numbered[0], numbered[1].line))]
        return SpecError(
            [*ordered, *([Violation("document", more, "mend some first")] if more else [])], self._main.source
        )

    def _located(self, file: PipelineSpec, fault: Violation) -> Violation:
        line, column = (fault.line, fault.column) if fault.line else file.position(fault.path)
        source = "" if file.source == self._main.source else file.source
        return dataclasses.replace(fault, line=line, column=column, source=source)
