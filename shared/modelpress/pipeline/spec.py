"""A pipeline as its author wrote it: the structure read, nothing resolved.

Reading never stops at the first fault. What is wrong with the structure (a key that means nothing, a list where a
mapping belongs) is kept in `PipelineSpec.faults`, and `modelpress.pipeline.validate` shows it together with
everything else that is wrong. Only ``validate`` makes a plan, so a spec with faults never runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelpress.errors import Violation, nearest
from modelpress.pipeline.document import parse_document, read_text

API_VERSION = "modelpress/v1"
KIND = "Pipeline"
NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
INPUTS = "inputs"

_PIPELINE_KEYS = ("apiVersion", "kind", "metadata", "parameters", "inputs", "seed", "steps", "outputs")
_METADATA_KEYS = ("name", "title", "description")
_PARAMETER_KEYS = ("default", "description")
_STEP_KEYS = ("id", "uses", "inputs", "with", "gate")


@dataclass(frozen=True)
class Parameter:
    """A value that a run may set (``--set name=value``); ``required`` where there is no default."""

    name: str
    default: Any = None
    description: str = ""
    required: bool = False


@dataclass(frozen=True)
class StepSpec:
    """One step as written. ``params`` is its ``with``; values may still contain ``${parameter}``."""

    index: int
    id: str = ""
    uses: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    gate: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return f"steps[{self.index}]"


@dataclass(frozen=True)
class PipelineSpec:
    """A pipeline as written. ``inputs`` map names to references (tags or digests), None where the run gives them."""

    name: str = ""
    title: str = ""
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    steps: tuple[StepSpec, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)
    source: str = "pipeline"
    faults: tuple[Violation, ...] = ()
    lines: Mapping[str, int] = field(default_factory=dict)


def read_pipeline(path: Path) -> PipelineSpec:
    """Read a pipeline file.

    Raises:
        NotFoundError, InputError: as `modelpress.pipeline.document.read_text`.
        SpecError: the file is no YAML.
    """
    return parse_pipeline(read_text(path), str(path))


def parse_pipeline(text: str, source: str = "pipeline") -> PipelineSpec:
    """Read the YAML text of a pipeline; ``source`` is what messages call it.

    Raises:
        SpecError: the text is no YAML.
        InputError: it is too large.
    """
    document = parse_document(text, source)
    return spec_of(document.data, source, document.lines, document.faults)


def spec_of(
    data: Any, source: str = "pipeline", lines: Mapping[str, int] | None = None, faults: Iterable[Violation] = ()
) -> PipelineSpec:
    """Plain data (as from YAML or JSON) as a spec. Raises nothing: see `PipelineSpec.faults`."""
    reader = _Reader(list(faults))
    top = reader.mapping(data, "")
    reader.keys(top, _PIPELINE_KEYS, "")
    reader.constant(top, "apiVersion", API_VERSION)
    reader.constant(top, "kind", KIND)
    metadata = reader.mapping(top.get("metadata"), "metadata", required=True)
    reader.keys(metadata, _METADATA_KEYS, "metadata")
    return PipelineSpec(
        name=reader.name(metadata.get("name"), "metadata.name") if top.get("metadata") is not None else "",
        title=reader.text(metadata.get("title"), "metadata.title"),
        description=reader.text(metadata.get("description"), "metadata.description"),
        parameters=_read_parameters(reader, top.get("parameters")),
        inputs=reader.mapping(top.get(INPUTS), INPUTS),
        seed=reader.seed(top.get("seed")),
        steps=_read_steps(reader, top.get("steps")),
        outputs=reader.mapping(top.get("outputs"), "outputs"),
        source=source,
        faults=tuple(reader.faults),
        lines=lines or {},
    )


def _read_parameters(reader: _Reader, value: Any) -> tuple[Parameter, ...]:
    found = []
    for name, entry in reader.mapping(value, "parameters").items():
        path = f"parameters.{name}"
        fields = reader.mapping(entry, path)
        reader.keys(fields, _PARAMETER_KEYS, path)
        description = reader.text(fields.get("description"), f"{path}.description")
        found.append(Parameter(name, fields.get("default"), description, required="default" not in fields))
    return tuple(found)


def _read_steps(reader: _Reader, value: Any) -> tuple[StepSpec, ...]:
    if not isinstance(value, list) or not value:
        reader.fault("steps", "must be a list of at least one step", f"each with {', '.join(_STEP_KEYS)}")
        return ()
    return tuple(_read_step(reader, entry, index) for index, entry in enumerate(value))


def _read_step(reader: _Reader, value: Any, index: int) -> StepSpec:
    path = f"steps[{index}]"
    fields = reader.mapping(value, path, required=True)
    reader.keys(fields, _STEP_KEYS, path)
    if not isinstance(value, Mapping):
        return StepSpec(index)
    return StepSpec(
        index,
        id=_read_id(reader, fields.get("id"), f"{path}.id"),
        uses=reader.text(fields.get("uses"), f"{path}.uses", required=True),
        inputs=reader.mapping(fields.get(INPUTS), f"{path}.inputs"),
        params=reader.mapping(fields.get("with"), f"{path}.with"),
        gate=reader.mapping(fields.get("gate"), f"{path}.gate"),
    )


def _read_id(reader: _Reader, value: Any, path: str) -> str:
    name = reader.name(value, path)
    if name == INPUTS:
        reader.fault(path, f"'{INPUTS}' stands for the pipeline's own inputs", "choose another id")
        return ""
    return name


class _Reader:
    """Reads values of the expected shape; notes a fault and goes on with an empty one where the shape is wrong."""

    def __init__(self, faults: list[Violation]) -> None:
        self.faults = faults

    def fault(self, path: str, message: str, suggestion: str = "") -> None:
        self.faults.append(Violation(path or "document", message, suggestion))

    def mapping(self, value: Any, path: str, *, required: bool = False) -> dict[str, Any]:
        if value is None and path and not required:
            return {}
        if not isinstance(value, Mapping):
            self.fault(path, "is missing" if value is None else f"must be a mapping, got {shown(value)}")
            return {}
        for key in value:
            if not isinstance(key, str):
                self.fault(path, f"key {key!r} is no string", "put it in quotes")
        return {key: entry for key, entry in value.items() if isinstance(key, str)}

    def keys(self, fields: Mapping[str, Any], known: tuple[str, ...], path: str) -> None:
        for key in fields:
            if key not in known:
                self.fault(f"{path}.{key}" if path else key, f"'{key}' means nothing here", nearest(key, known))

    def text(self, value: Any, path: str, *, required: bool = False) -> str:
        if value is None and not required:
            return ""
        if not isinstance(value, str):
            self.fault(path, "is missing" if value is None else f"must be text, got {shown(value)}")
            return ""
        return value.strip()

    def name(self, value: Any, path: str) -> str:
        text = self.text(value, path, required=True)
        if isinstance(value, str) and not NAME.fullmatch(text):
            self.fault(path, f"'{text}' is no name", "lower-case letters, digits and '-', as in 'slim-2'")
            return ""
        return text

    def constant(self, fields: Mapping[str, Any], key: str, expected: str) -> None:
        if fields.get(key) != expected:
            got = f"is {shown(fields[key])}" if key in fields else "is missing"
            self.fault(key, got, f"this version reads '{expected}'")

    def seed(self, value: Any) -> int:
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
            self.fault("seed", f"must be a whole number from 0 to 2^63 - 1, got {shown(value)}")
            return 0
        return value


def shown(value: Any) -> str:
    """``value`` for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
