"""YAML as plain data, safely: what a pipeline file says, and where in it each thing stands.

The values follow YAML 1.2's core schema, so ``1e-3`` is a number, and ``no``, ``1:30`` and ``2026-01-01`` are strings.
A file cannot construct objects, repeat a key unseen, or grow in memory by aliases.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from modelpress.errors import InputError, NotFoundError, SpecError, Violation

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
MAX_VALUES = 50_000


class _CoreSchemaLoader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the base class declares it like this


_CoreSchemaLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"null|Null|NULL|~|$"), [*"nN~", ""])
_CoreSchemaLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|True|false|False)$"), [*"tTfF"])
_CoreSchemaLoader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?(?:0|[1-9][0-9]*)$"), [*"-+0123456789"]
)
_CoreSchemaLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$|[-+]?\.inf$|\.nan$"),
    [*"-+.0123456789"],
)


class Position(NamedTuple):
    """Where something stands in a file, both counted from 1; 0 where it does not stand in one."""

    line: int = 0
    column: int = 0


@dataclass(frozen=True)
class Document:
    """``data`` is made of dicts, lists and scalars; ``positions`` map paths (``steps[3].with``) to where they stand."""

    data: Any
    positions: dict[str, Position] = field(default_factory=dict)
    faults: tuple[Violation, ...] = ()
    """Keys that stand twice."""


def read_text(path: Path) -> str:
    """The text of a file of at most `MAX_BYTES`.

    Raises:
        NotFoundError: there is no such file.
        InputError: it cannot be read, is too large, or is no UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        _check_size(len(data), str(path))
        return data.decode("utf-8-sig")
    except FileNotFoundError as e:
        raise NotFoundError(f"there is no file '{path}'") from e
    except OSError as e:
        raise InputError(f"cannot read '{path}': {e.strerror}") from e
    except UnicodeDecodeError as e:
        raise InputError(f"'{path}' is no text: byte {e.start} is not UTF-8") from e


def parse_document(text: str, source: str = "pipeline") -> Document:
    """Parse one YAML document.

    Raises:
        SpecError: it is no YAML, or nests or expands beyond the limits. Keys that stand twice are told in
            `Document.faults` instead, so that they are shown with everything else that is wrong.
        InputError: it is larger than `MAX_BYTES`.
    """
    _check_size(len(text.encode()), source)
    try:
        _check_depth(text, source)
        loader = _CoreSchemaLoader(text)
        node = loader.get_single_node()
        if node is None:
            raise SpecError([Violation("document", "is empty", "expected apiVersion, kind, metadata, steps")], source)
        positions, faults = _survey(node, source)
        return Document(loader.construct_document(node), positions, tuple(faults))
    except yaml.MarkedYAMLError as e:
        raise SpecError([_syntax_fault(e)], source) from e
    except (yaml.YAMLError, ValueError) as e:
        raise SpecError([Violation("document", f"is no YAML: {e}")], source) from e


def _check_size(size_bytes: int, source: str) -> None:
    if size_bytes > MAX_BYTES:
        raise InputError(f"'{source}' is larger than {MAX_BYTES:,} bytes, too large for a pipeline")


def _check_depth(text: str, source: str) -> None:
    """Look at the parser's events, which come one by one: composing a document recurses on its depth."""
    depth = 0
    for event in yaml.parse(text, Loader=_CoreSchemaLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise _too_much(f"nests deeper than {MAX_DEPTH} levels", _position(event.start_mark), source)


def _survey(root: yaml.Node, source: str) -> tuple[dict[str, Position], list[Violation]]:
    """Where every path stands, and keys that stand twice. Follows aliases, counting what they would expand to."""
    positions: dict[str, Position] = {}
    faults: list[Violation] = []
    pending = [_Place("", root, Position(1, 1), 0)]
    count = 0
    while pending:
        place = pending.pop()
        count += 1
        if count > MAX_VALUES or place.depth > MAX_DEPTH:
            raise _too_much(
                f"has more than {MAX_VALUES:,} values or {MAX_DEPTH} levels, its aliases expanded", place.at, source
            )
        children = list(_children(place))
        positions.setdefault(place.path, place.at)
        faults += _repeats(children)
        pending += children
    return positions, faults


class _Place(NamedTuple):
    path: str
    node: yaml.Node
    at: Position
    depth: int


def _children(place: _Place) -> Iterator[_Place]:
    path, node, _, depth = place
    if isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            yield _Place(f"{path}[{index}]", child, _position(child.start_mark), depth + 1)
    elif isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            yield _Place(f"{path}.{key.value}" if path else str(key.value), child, _position(key.start_mark), depth + 1)


def _repeats(children: list[_Place]) -> Iterator[Violation]:
    first: dict[str, int] = {}
    for child in children:
        if child.path in first:
            yield Violation(child.path, f"stands twice, first on line {first[child.path]}", "keep one", *child.at)
        first.setdefault(child.path, child.at.line)


def _too_much(message: str, at: Position, source: str) -> SpecError:
    return SpecError([Violation("document", message, "", *at)], source)


def _syntax_fault(error: yaml.MarkedYAMLError) -> Violation:
    at = _position(error.problem_mark or error.context_mark)
    return Violation("document", f"is no YAML: {error.problem or error.context}", "", *at)


def _position(mark: Any) -> Position:
    """Of one of the parser's marks, which count from 0."""
    return Position(int(mark.line) + 1, int(mark.column) + 1) if mark else Position()
