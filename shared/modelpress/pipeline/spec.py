"""A pipeline as its author wrote it: the structure read, nothing resolved.

Reading never stops at the first fault. What is wrong with the structure (a key that means nothing, a list where a
mapping belongs) is kept in `PipelineSpec.faults`, and `modelpress.pipeline.validate` shows it together with
everything else that is wrong. Only ``validate`` makes a plan, so a spec with faults never runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelpress.errors import Violation
from modelpress.pipeline.document import Position, parse_document, read_text
from modelpress.pipeline.entries import StepSpec, read_steps
from modelpress.pipeline.reader import INPUTS, Reader

API_VERSION = "modelpress/v1"
KIND = "Pipeline"

_PIPELINE_KEYS = ("apiVersion", "kind", "metadata", "parameters", "inputs", "seed", "steps", "outputs")
_METADATA_KEYS = ("name", "title", "description")
_PARAMETER_KEYS = ("default", "description")


@dataclass(frozen=True)
class Parameter:
    """A value that a run may set (``--set name=value``); ``required`` where there is no default."""

    name: str
    default: Any = None
    description: str = ""
    required: bool = False


@dataclass(frozen=True)
class PipelineSpec:
    """A pipeline as written. ``inputs`` map names to references (tags or digests), None where the run gives them.

    ``source`` is what messages call it. ``folder`` is where its file lies, to which the files that it names are
    relative; None for what is no file, which can name recipes only.
    """

    name: str = ""
    title: str = ""
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    steps: tuple[StepSpec, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)
    source: str = "pipeline"
    folder: Path | None = None
    faults: tuple[Violation, ...] = ()
    positions: Mapping[str, Position] = field(default_factory=dict)

    def position(self, path: str) -> Position:
        """Where ``path`` stands, or the closest part of the file that contains it; zeros for what the file lacks."""
        while path and path not in self.positions:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.positions[path] if path else Position()


def read_pipeline(path: Path) -> PipelineSpec:
    """Read a pipeline file.

    Raises:
        NotFoundError, InputError: as `modelpress.pipeline.document.read_text`.
        SpecError: the file is no YAML.
    """
    return dataclasses.replace(parse_pipeline(read_text(path), str(path)), folder=path.absolute().parent)


def parse_pipeline(text: str, source: str = "pipeline") -> PipelineSpec:
    """Read the YAML text of a pipeline; ``source`` is what messages call it.

    Raises:
        SpecError: the text is no YAML.
        InputError: it is too large.
    """
    document = parse_document(text, source)
    return spec_of(document.data, source, document.positions, document.faults)


def spec_of(
    data: Any,
    source: str = "pipeline",
    positions: Mapping[str, Position] | None = None,
    faults: Iterable[Violation] = (),
) -> PipelineSpec:
    """Plain data (as from YAML or JSON) as a spec. Raises nothing: see `PipelineSpec.faults`."""
    reader = Reader(list(faults))
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
        steps=read_steps(reader, top.get("steps")),
        outputs=reader.mapping(top.get("outputs"), "outputs"),
        source=source,
        faults=tuple(reader.faults),
        positions=positions or {},
    )


def _read_parameters(reader: Reader, value: Any) -> tuple[Parameter, ...]:
    found = []
    for name, entry in reader.mapping(value, "parameters").items():
        path = f"parameters.{name}"
        fields = reader.mapping(entry, path)
        reader.keys(fields, _PARAMETER_KEYS, path)
        description = reader.text(fields.get("description"), f"{path}.description")
        found.append(Parameter(name, fields.get("default"), description, required="default" not in fields))
    return tuple(found)
