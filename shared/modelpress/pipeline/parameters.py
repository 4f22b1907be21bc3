"""Parameters of a pipeline: ``${name}`` stands for a value that a run, a matrix or a round sets.

A value that is exactly ``${name}`` becomes the parameter's value, type and all; inside a longer text
(``"<= ${max_drop_points}"``) the value is written out. Nothing else is interpreted: no expressions, no nesting.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from modelpress.errors import InputError, SpecError, Violation, nearest
from modelpress.pipeline.document import parse_document
from modelpress.pipeline.spec import PipelineSpec

_MARK = re.compile(r"\$\{([^{}]*)\}")
MAX_TEXT = 10_000
"""Characters of a text whose marks are replaced: 50,000 marks for a long value would take all memory."""

UNKNOWN = object()
"""Stands for a value that cannot be known, since its parameter does not exist or was not set."""


def parse_setting(text: str) -> tuple[str, Any]:
    """``"sparsity=0.7"`` as ``("sparsity", 0.7)``; the value is read as YAML, as it would be in a file.

    Raises:
        InputError: there is no ``=``, no name, or the value is no YAML.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise InputError(f"'{text}' sets nothing: expected name=value, as in sparsity=0.7")
    try:
        return name.strip(), parse_document(value, text).data if value.strip() else ""
    except SpecError as e:
        raise InputError(f"the value of '{text}' cannot be read: {e.violations[0].message}") from e


@dataclass(frozen=True)
class Variables:
    """What marks stand for in one place. ``declared`` says where each came from, ``used`` which were met so far."""

    values: Mapping[str, Any]
    declared: Mapping[str, str]
    used: set[str]

    def inside(self, values: Mapping[str, Any], path: str) -> Variables:
        """These and, declared at ``path``, others; a name that is there already is hidden."""
        declared = {name: f"{path}.{name}" for name in values}
        return Variables({**self.values, **values}, {**self.declared, **declared}, self.used)

    def unused(self, paths: Iterable[str], hint: str) -> list[Violation]:
        """Those of the declarations at ``paths`` that no mark named."""
        missing = [path for path in paths if path not in self.used]
        return [Violation(path, "no step uses it", f"write ${{{path.rpartition('.')[2]}}} {hint}") for path in missing]

    def fill(self, value: Any, path: str, found: list[Violation]) -> Any:
        """``value`` with every mark replaced.

        An entry whose value cannot be known is left out, so that one fault does not look like two; `UNKNOWN` where
        that is all there is.
        """
        if isinstance(value, Mapping):
            filled = {key: self.fill(entry, f"{path}.{key}", found) for key, entry in value.items()}
            return {key: entry for key, entry in filled.items() if entry is not UNKNOWN}
        if isinstance(value, list | tuple):
            entries = [self.fill(entry, f"{path}[{index}]", found) for index, entry in enumerate(value)]
            return [entry for entry in entries if entry is not UNKNOWN]
        return self._fill_text(value, path, found) if isinstance(value, str) and "${" in value else value

    def _fill_text(self, text: str, path: str, found: list[Violation]) -> Any:
        values = [self._value(name.strip(), path, found) for name in _MARK.findall(text)]
        if any(value is UNKNOWN for value in values):
            return UNKNOWN
        if _MARK.fullmatch(text):
            return values[0]
        if len(text) + sum(len(str(value)) for value in values) > MAX_TEXT:
            found.append(Violation(path, f"has more than {MAX_TEXT:,} characters with its parameters written out"))
            return UNKNOWN
        parts = iter(values)
        return _MARK.sub(lambda _: str(next(parts)), text)

    def _value(self, name: str, path: str, found: list[Violation]) -> Any:
        if name not in self.values:
            found.append(Violation(path, f"there is no parameter '{name}'", nearest(name, self.values)))
            return UNKNOWN
        self.used.add(self.declared[name])
        return self.values[name]


def bind(
    spec: PipelineSpec, settings: Mapping[str, Any], found: list[Violation], path: str = "parameters"
) -> Variables:
    """The parameters of ``spec`` with the values that ``settings``, which stand at ``path``, give them."""
    known = {p.name: p for p in spec.parameters}
    for name in settings:
        if name not in known:
            found.append(Violation(f"{path}.{name}", f"there is no parameter '{name}'", nearest(name, known)))
    values = {name: settings.get(name, UNKNOWN if p.required else p.default) for name, p in known.items()}
    hint = "set it: --set {}=VALUE" if path == "parameters" else "write '{}: VALUE' here"
    for name in (name for name, value in values.items() if value is UNKNOWN):
        found.append(Violation(f"{path}.{name}", "has no default and was not set", hint.format(name)))
    return Variables(values, {name: f"parameters.{name}" for name in known}, set())
