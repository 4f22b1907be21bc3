"""References between steps: ``slim.model``, ``rounds.prune.model``, ``sweep[sparsity=0.5].pack.package``.

The first name is looked up in the scope of the step that reads, then in those around it, up to its own pipeline's. A
repeated block or step without ``[...]`` means its last round, a matrix all its branches; ``[2]`` is the second round
or branch, ``[*]`` are all, and ``[axis=value, ...]`` those branches. What follows a block's name is one of its steps,
or one of the outputs that it declares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from modelpress.errors import InputError, nearest
from modelpress.pipeline.parameters import parse_setting
from modelpress.pipeline.reader import INPUTS
from modelpress.pipeline.tree import Entry, Leaf, Scope

_PART = r"([^.\[\]\s]+)(?:\[([^\[\]]*)\])?"
_PARTS = re.compile(_PART)
_WHOLE = re.compile(rf"{_PART}(?:\.{_PART})*\.[^.\[\]\s]+")


_SEARCHED = 500
"""Names of one place among which the nearest is looked for."""


class UnresolvedError(Exception):
    """A reference that names nothing; ``suggestion`` is what would be right."""

    def __init__(self, message: str, suggestion: str) -> None:
        self.suggestion = suggestion
        super().__init__(message)


@dataclass(frozen=True)
class Reference:
    """``steps`` are names with their selectors, empty where there is none; ``last`` is an output, input or metric."""

    steps: tuple[tuple[str, str | None], ...]
    last: str

    @property
    def head(self) -> str:
        return self.steps[0][0]


@lru_cache(maxsize=4096)
def parse_reference(text: str) -> Reference | None:
    """None for what is no reference."""
    if text.startswith(f"{INPUTS}."):
        name = text.partition(".")[2]
        return Reference(((INPUTS, None),), name) if name else None
    if not _WHOLE.fullmatch(text):
        return None
    before, _, last = text.rpartition(".")
    return Reference(tuple((match[1], match[2]) for match in _PARTS.finditer(before)), last)


def find(reference: Reference, scope: Scope, reader: Leaf | None = None) -> list[Leaf | Scope]:
    """What ``reference`` in ``scope`` names, up to its last part; nothing where that cannot be told.

    Raises:
        UnresolvedError: there is no such step, round or branch.
    """
    (name, selector), *rest = reference.steps
    nodes = _select(_first(name, scope, reader), name, selector)
    path = name
    for name, selector in rest:
        nodes = [inner for node in nodes for inner in _select(_within(node, name, path), name, selector)]
        path = f"{path}.{name}"
    return nodes


def _first(name: str, scope: Scope, reader: Leaf | None) -> Entry:
    for place in scope.visible():
        if name in place.seen:
            return place.seen[name]
    around = list(scope.chain())
    for entry in (entry for place in scope.visible() for entry in place.entries if entry.spec.id == name):
        if reader is not None and reader in (entry.leaf, *(copy.leaf for copy in entry.copies)):
            raise UnresolvedError(f"step '{name}' reads its own output", "read an input or an earlier step")
        if any(copy in around for copy in entry.copies):
            hint = "name its step alone, which means this round's or this branch's"
            raise UnresolvedError(f"'{name}' is the block that this stands in", hint)
        raise UnresolvedError(f"step '{name}' comes later", f"move '{name}' above the step that reads it")
    raise UnresolvedError(f"there is no step '{name}'", nearest(name, [*_last_names(scope), INPUTS]))


def _last_names(scope: Scope) -> Iterator[str]:
    """Names in ``scope``, the last of each place: looking for what was meant among all would take long."""
    for place in scope.visible():
        yield from islice(reversed(place.seen), _SEARCHED)


def _within(node: Leaf | Scope, name: str, path: str) -> Entry:
    if isinstance(node, Leaf):
        raise UnresolvedError(f"'{path}' is a step, not a block", f"expected '{path}.<output>'")
    if name not in node.seen:
        raise UnresolvedError(f"'{path}' has no step '{name}'", nearest(name, node.seen))
    return node.seen[name]


def _select(entry: Entry, name: str, selector: str | None) -> list[Leaf | Scope]:
    nodes = entry.nodes()
    if selector is None:
        return nodes[-1:] if entry.spec.repeat is not None else nodes
    if not entry.spec.expands:
        raise UnresolvedError(f"'{name}' stands once", f"write '{name}' without [{selector}]")
    if selector.strip() == "*" or not nodes:
        return nodes
    if selector.strip().isdecimal():
        return [nodes[_index(selector, name, len(nodes))]]
    chosen = list(_chosen(entry, name, selector))
    return [node for node, take in zip(nodes, chosen, strict=True) if take]


def _index(selector: str, name: str, count: int) -> int:
    text = selector.strip()
    if len(text) > 6 or not 1 <= int(text) <= count:
        raise UnresolvedError(f"'{name}' has no [{text}]", f"they are counted from 1 to {count}")
    return int(text) - 1


def _chosen(entry: Entry, name: str, selector: str) -> Iterator[bool]:
    """By branch, whether it has the values that ``selector`` asks for."""
    try:
        wanted = dict(parse_setting(part) for part in selector.split(","))
    except InputError as e:
        raise UnresolvedError(f"[{selector}] chooses nothing: {e}", "a number, '*', or axis=value") from e
    axes = entry.spec.matrix or {}
    for axis in wanted:
        if axis not in axes:
            raise UnresolvedError(f"'{name}' has no axis '{axis}'", nearest(axis, axes))
    found = [all(copy.values[axis] == value for axis, value in wanted.items()) for copy in entry.copies]
    if not any(found):
        there = "; ".join(f"{axis}: {_values(entry, axis)}" for axis in wanted)
        raise UnresolvedError(f"'{name}' has no branch [{selector}]", f"there is {there}")
    yield from found


def _values(entry: Entry, axis: str) -> str:
    return ", ".join(dict.fromkeys(str(copy.values[axis]) for copy in entry.copies))
