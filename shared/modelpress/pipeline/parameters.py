"""Parameters of a pipeline: ``${name}`` in ``with``, ``gate`` and ``inputs`` stands for a value that a run may set.

A value that is exactly ``${name}`` becomes the parameter's value, type and all; inside a longer text
(``"<= ${max_drop_points}"``) the value is written out. Nothing else is interpreted: no expressions, no nesting.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from modelpress.errors import InputError, SpecError, Violation, nearest
from modelpress.pipeline.document import parse_document
from modelpress.pipeline.spec import PipelineSpec, StepSpec

_MARK = re.compile(r"\$\{([^{}]*)\}")


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


def apply_parameters(spec: PipelineSpec, settings: Mapping[str, Any], faults: list[Violation]) -> PipelineSpec:
    """``spec`` with every ``${name}`` replaced; faults (unknown, not set, unused) are appended to ``faults``.

    An entry whose value cannot be known is left out, so that one fault does not look like two.
    """
    filler = _Filler(spec, _bind(spec, settings, faults), faults)
    filled = dataclasses.replace(
        spec,
        inputs=filler.fill(spec.inputs, "inputs"),
        steps=tuple(_fill_step(filler, step) for step in spec.steps),
    )
    if not spec.faults:
        faults += _unused(spec, filler.used)
    return filled


def _bind(spec: PipelineSpec, settings: Mapping[str, Any], faults: list[Violation]) -> dict[str, Any]:
    known = {p.name: p for p in spec.parameters}
    for name in settings:
        if name not in known:
            faults.append(Violation(f"parameters.{name}", f"there is no parameter '{name}'", nearest(name, known)))
    values = {p.name: p.default for p in spec.parameters if not p.required}
    values |= {name: value for name, value in settings.items() if name in known}
    for name in known:
        if name not in values:
            hint = f"set it: --set {name}=VALUE"
            faults.append(Violation(f"parameters.{name}", "has no default and was not set", hint))
    return values


def _fill_step(filler: _Filler, step: StepSpec) -> StepSpec:
    return dataclasses.replace(
        step,
        inputs=filler.fill(step.inputs, f"{step.path}.inputs"),
        params=filler.fill(step.params, f"{step.path}.with"),
        gate=filler.fill(step.gate, f"{step.path}.gate"),
    )


def _unused(spec: PipelineSpec, used: set[str]) -> list[Violation]:
    names = [p.name for p in spec.parameters if p.name not in used]
    return [Violation(f"parameters.{n}", "no step uses it", f"write ${{{n}}} where it belongs") for n in names]


_UNKNOWN = object()
"""Stands for a value that cannot be known, since its parameter does not exist or was not set."""


class _Filler:
    """Replaces marks in plain data, remembering which parameters were used."""

    def __init__(self, spec: PipelineSpec, values: Mapping[str, Any], faults: list[Violation]) -> None:
        self.known = [p.name for p in spec.parameters]
        self.values = values
        self.faults = faults
        self.used: set[str] = set()

    def fill(self, value: Any, path: str) -> Any:
        if isinstance(value, Mapping):
            filled = {key: self.fill(entry, f"{path}.{key}") for key, entry in value.items()}
            return {key: entry for key, entry in filled.items() if entry is not _UNKNOWN}
        if isinstance(value, list):
            entries = [self.fill(entry, f"{path}[{index}]") for index, entry in enumerate(value)]
            return [entry for entry in entries if entry is not _UNKNOWN]
        return self._fill_text(value, path) if isinstance(value, str) else value

    def _fill_text(self, text: str, path: str) -> Any:
        names = [name.strip() for name in _MARK.findall(text)]
        values = [self._value(name, path) for name in names]
        if any(value is _UNKNOWN for value in values):
            return _UNKNOWN
        if _MARK.fullmatch(text):
            return values[0]
        parts = iter(values)
        return _MARK.sub(lambda _: str(next(parts)), text)

    def _value(self, name: str, path: str) -> Any:
        if name not in self.known:
            self.faults.append(Violation(path, f"there is no parameter '{name}'", nearest(name, self.known)))
            return _UNKNOWN
        self.used.add(name)
        return self.values.get(name, _UNKNOWN)
