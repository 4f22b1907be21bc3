"""Entries of ``steps`` as their author wrote them: a method, a block of steps, or another pipeline by reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelpress.pipeline.reader import INPUTS, Reader

_EXPANDS = ("repeat", "matrix")
_KEYS: Mapping[str, tuple[str, ...]] = {
    "uses": ("id", "uses", INPUTS, "with", "gate", "when", "resources", "timeout", *_EXPANDS),
    "steps": ("id", "steps", "when", "outputs", *_EXPANDS),
    "pipeline": ("id", "pipeline", INPUTS, "with", "when", *_EXPANDS),
}
"""What each sort of entry may say, by the key that makes it one of that sort."""

_RESOURCES = ("class", "cores", "memory")


@dataclass(frozen=True)
class StepSpec:
    """One entry: one of ``uses``, ``steps``, ``pipeline`` is set. ``path`` says where: ``steps[3].steps[0]``.

    ``params`` is its ``with``. Values may still contain ``${parameter}``. ``repeat`` and ``matrix`` are None where the
    entry stands once.
    """

    path: str
    id: str = ""
    uses: str = ""
    pipeline: str = ""
    steps: tuple[StepSpec, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    gate: Mapping[str, Any] = field(default_factory=dict)
    when: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    timeout: Any = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    repeat: Mapping[str, Any] | None = None
    matrix: Mapping[str, Any] | None = None
    is_block: bool = False

    @property
    def is_method(self) -> bool:
        return not (self.is_block or self.pipeline)

    @property
    def expands(self) -> bool:
        """Whether it is unrolled: into rounds, or into branches."""
        return self.repeat is not None or self.matrix is not None


def read_steps(reader: Reader, value: Any, path: str = "steps") -> tuple[StepSpec, ...]:
    """The entries of the list ``value``, which stands at ``path``."""
    if not isinstance(value, list) or not value:
        reader.fault(path, "must be a list of at least one step", "each with id, uses, and what the method needs")
        return ()
    return tuple(_read_entry(reader, entry, f"{path}[{index}]") for index, entry in enumerate(value))


def _read_entry(reader: Reader, value: Any, path: str) -> StepSpec:
    fields = reader.mapping(value, path, required=True)
    sort = _sort(reader, fields, path)
    reader.keys(fields, (*_KEYS[sort], *(key for key in _KEYS if key in fields)), path)
    if not isinstance(value, Mapping):
        return StepSpec(path)
    names = {key: reader.mapping(fields.get(key), f"{path}.{key}") for key in (INPUTS, "with", "gate", "when")}
    return StepSpec(
        path,
        id=_read_id(reader, fields.get("id"), f"{path}.id"),
        uses=reader.text(fields.get("uses"), f"{path}.uses", required=True) if sort == "uses" else "",
        pipeline=reader.text(fields.get("pipeline"), f"{path}.pipeline", required=True) if sort == "pipeline" else "",
        steps=read_steps(reader, fields["steps"], f"{path}.steps") if sort == "steps" else (),
        inputs=names[INPUTS],
        params=names["with"],
        gate=names["gate"],
        when=names["when"],
        resources=_read_keys(reader, fields.get("resources"), f"{path}.resources", _RESOURCES) or {},
        timeout=fields.get("timeout"),
        outputs=reader.mapping(fields.get("outputs"), f"{path}.outputs"),
        repeat=_read_repeat(reader, fields, path),
        matrix=_read_matrix(reader, fields, path),
        is_block=sort == "steps",
    )


def _sort(reader: Reader, fields: Mapping[str, Any], path: str) -> str:
    found = [key for key in _KEYS if key in fields]
    for key in found[1:]:
        reader.fault(f"{path}.{key}", f"stands beside '{found[0]}'", f"a step has one of {', '.join(_KEYS)}")
    return found[0] if found else "uses"


def _read_id(reader: Reader, value: Any, path: str) -> str:
    name = reader.name(value, path)
    if name == INPUTS:
        reader.fault(path, f"'{INPUTS}' stands for the pipeline's own inputs", "choose another id")
        return ""
    return name


def _read_keys(reader: Reader, value: Any, path: str, known: Sequence[str]) -> dict[str, Any] | None:
    """A mapping with some of the ``known`` keys; None where there is none."""
    if value is None:
        return None
    fields = reader.mapping(value, path)
    reader.keys(fields, known, path)
    return {key: entry for key, entry in fields.items() if key in known}


def _read_repeat(reader: Reader, fields: Mapping[str, Any], path: str) -> Mapping[str, Any] | None:
    if "repeat" not in fields:
        return None
    repeat = reader.mapping(fields["repeat"], f"{path}.repeat", required=True)
    reader.keys(repeat, ("times",), f"{path}.repeat")
    if isinstance(fields["repeat"], Mapping) and "times" not in repeat:
        reader.fault(f"{path}.repeat.times", "is missing", "how many rounds, as in repeat: {times: 4}")
    return repeat


def _read_matrix(reader: Reader, fields: Mapping[str, Any], path: str) -> Mapping[str, Any] | None:
    if "matrix" not in fields:
        return None
    if "repeat" in fields:
        reader.fault(f"{path}.matrix", "stands beside 'repeat'", "put one of them into a block of its own")
    axes = reader.mapping(fields["matrix"], f"{path}.matrix", required=True)
    if isinstance(fields["matrix"], Mapping) and not axes:
        reader.fault(f"{path}.matrix", "has no values", "as in matrix: {sparsity: [0.3, 0.5]}")
    return axes
