"""What an omitted ``model`` or ``package`` may stand for in a scope: what was made there, and not made into another."""

from __future__ import annotations

from collections.abc import Iterable

from modelpress.catalogue import Kind


class Newest:
    """Sources by kind, in file order."""

    def __init__(self) -> None:
        self._made: dict[Kind, dict[str, None]] = {}
        self._spent: dict[Kind, set[str]] = {}

    def of(self, kind: Kind) -> list[str]:
        """Those that no step made another of the same kind from."""
        return list(self._made.get(kind, ()))

    def is_spent(self, kind: Kind, source: str) -> bool:
        return source in self._spent.get(kind, ())

    def add(self, kind: Kind, sources: Iterable[str]) -> None:
        self._made.setdefault(kind, {}).update(dict.fromkeys(sources))

    def spend(self, kind: Kind, sources: Iterable[str]) -> None:
        """A step made another of this kind from ``sources``."""
        made, spent = self._made.get(kind, {}), self._spent.setdefault(kind, set())
        for source in sources:
            made.pop(source, None)
            spent.add(source)

    def spend_as(self, other: Newest, kinds: Iterable[Kind]) -> None:
        """Spend what was spent in ``other``."""
        for kind in kinds:
            self.spend(kind, other._spent.get(kind, ()))

    def absorb(self, inner: Newest) -> None:
        """Take over what a finished block leaves."""
        self.spend_as(inner, inner._spent)
        for kind, sources in inner._made.items():
            self.add(kind, sources)
