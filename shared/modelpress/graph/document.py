"""``graph.json``: its grammar as strict records, and reading it with limits. FORMAT.md tells it in words."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from modelpress.errors import ModelFormatError
from modelpress.graph.limited_json import read_json

FORMAT: Literal["modelpress-graph"] = "modelpress-graph"
VERSION: Literal[2] = 2
READABLE = (1, 2)
MAX_BYTES = 16 * 2**20
MAX_DEPTH = 32
MAX_VALUES = 1_000_000
"""JSON values in all: what bounds the memory that reading takes."""
MAX_OUTPUT_VALUES = 65_536
"""JSON values in the output alone, which becomes source: 400,000 of them take seconds to compile."""
MAX_NODES = 10_000
"""A transformer of 100 layers has some 4,000; as many as these take about five seconds to check."""
COUNTS: Mapping[str, int] = {
    "nodes": MAX_NODES, "leaves": 10_000, "tensors": 20_000, "inputs": 256, "sizes": 256, "notes": 1_000,
}  # fmt: skip
"""Most entries of each part."""
MAX_CONSTRAINED = 64
"""Tensors of one leaf."""
MAX_ELEMENTS = 2**28
"""Of one sample of an input."""
MAX_SIZE = 65_536
"""Of a symbol's example."""

T = TypeVar("T")


Size = Annotated[int, Field(ge=1, le=MAX_ELEMENTS)]
Symbol = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Rows = Annotated[tuple[T, ...], Field(fail_fast=True)]
"""The first fault of a row is told; a list of a million faults would cost gigabytes to tell."""


class Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class InputRecord(Record):
    """A graph input; a text in ``shape`` is a dynamic dimension, a symbol whose size ``sizes`` gives an example of."""

    name: str
    dtype: str
    shape: Annotated[Rows[Size | Symbol], Field(max_length=16)]

    @field_validator("shape")
    @classmethod
    def _fits(cls, shape: tuple[int | str, ...]) -> tuple[int | str, ...]:
        if math.prod(n for n in shape if isinstance(n, int)) > MAX_ELEMENTS:
            raise ValueError(f"a sample of more than {MAX_ELEMENTS} elements")
        return shape


class ConstraintRecord(Record):
    """One parametrization of a leaf's tensor, innermost first."""

    type: str
    config: dict[str, Any] = {}


class LeafRecord(Record):
    """A leaf module: its type, constructor arguments, and the constraints on its tensors."""

    type: str
    config: dict[str, Any]
    constraints: dict[str, Rows[ConstraintRecord]] = {}


class InputNode(Record):
    op: Literal["input"]
    input: str


class TensorNode(Record):
    """Reads a parameter or buffer that belongs to no leaf."""

    op: Literal["tensor"]
    tensor: str


class LeafNode(Record):
    op: Literal["leaf"]
    leaf: str
    args: Rows[Any]


class CallNode(Record):
    op: Literal["call"]
    target: str
    args: Rows[Any]
    kwargs: dict[str, Any] = {}


Node = Annotated[InputNode | TensorNode | LeafNode | CallNode, Field(discriminator="op")]


class TensorRecord(Record):
    """A tensor of the model that is stored in ``tensors.safetensors`` or tied to one that is."""

    kind: Literal["parameter", "buffer"]
    trainable: bool = False
    tied_to: str | None = None


class Document(Record):
    """The whole of ``graph.json``. Node *i* of ``nodes`` is referred to as ``{"node": i}``, and only by later nodes."""

    format: Literal["modelpress-graph"]
    version: Literal[2]
    form: Literal["dense", "constrained", "quantized"]
    inputs: Rows[InputRecord]
    sizes: dict[Symbol, Annotated[int, Field(ge=1, le=MAX_SIZE)]]
    leaves: dict[str, LeafRecord]
    tensors: dict[str, TensorRecord]
    nodes: Rows[Node]
    output: Any
    facts: dict[str, Any] = {}
    notes: Rows[str] = ()


def parse(data: bytes) -> Document:
    """Read and check ``graph.json``.

    Raises:
        ModelFormatError: too large, no JSON, duplicate keys, too deep, or not of the grammar; names the place.
    """
    value = read_json(data, "graph.json", max_bytes=MAX_BYTES, max_depth=MAX_DEPTH)
    _check_counts(value)
    value = _current(value)
    try:
        return Document.model_validate_json(json.dumps(value))
    except ValidationError as e:
        raise ModelFormatError(f"graph.json: {first_fault(e)}") from e


def first_fault(error: ValidationError) -> str:
    """``sizes.batch: Input should be greater than or equal to 1``: the first of what pydantic found."""
    fault = error.errors()[0]
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"


def _current(value: Any) -> Any:
    """An older version's document in the words of this one; what is no document at all is left to the grammar."""
    version = value.get("version") if isinstance(value, dict) else None
    if version is None or (type(version) is int and version == VERSION):
        return value
    if type(version) is not int or version != 1:
        raise ModelFormatError(f"graph.json has version {version!r}; this modelpress reads {READABLE}")
    upgraded = {"version": VERSION, "sizes": {"batch": 2}, "inputs": _with_symbols(value.get("inputs"))}
    return {**value, **upgraded, "output": _with_pairs(value.get("output"))}


def _with_pairs(output: Any) -> Any:
    """Version 1 wrote an output's dicts as objects, and so lost their order."""
    if isinstance(output, list):
        return [_with_pairs(v) for v in output]
    if not isinstance(output, dict):
        return output
    if output.keys() == {"dict"} and isinstance(output["dict"], dict):
        return {"dict": [[key, _with_pairs(v)] for key, v in output["dict"].items()]}
    return {key: _with_pairs(v) for key, v in output.items()}


def _with_symbols(inputs: Any) -> Any:
    """Version 1 wrote null for the batch, the only dynamic dimension that it knew."""
    if not isinstance(inputs, list):
        return inputs
    shaped = [i if isinstance(i, dict) and isinstance(i.get("shape"), list) else None for i in inputs]
    return [
        old if new is None else {**new, "shape": ["batch" if n is None else n for n in new["shape"]]}
        for old, new in zip(inputs, shaped, strict=True)
    ]


def render(document: Document) -> bytes:
    """Canonical bytes: equal documents give equal bytes."""
    value = document.model_dump(mode="json", exclude_defaults=False)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _check_counts(value: Any) -> None:
    """Refuse what would cost much to refuse later: each leaf is a module, each wrong entry an error record."""
    if _values(value) > MAX_VALUES:
        raise ModelFormatError(f"graph.json holds more than {MAX_VALUES} values")
    if not isinstance(value, dict):
        return
    if _values(value.get("output")) > MAX_OUTPUT_VALUES:
        raise ModelFormatError(f"graph.json: output holds more than {MAX_OUTPUT_VALUES} values")
    for part, limit in COUNTS.items():
        if _length(value.get(part)) > limit:
            raise ModelFormatError(f"graph.json: {part} has {len(value[part])} entries; the limit is {limit}")
    leaves = value.get("leaves")
    for path, leaf in leaves.items() if isinstance(leaves, dict) else ():
        if isinstance(leaf, dict) and _length(leaf.get("constraints")) > MAX_CONSTRAINED:
            raise ModelFormatError(f"graph.json: leaves.{path}: more than {MAX_CONSTRAINED} tensors with constraints")


def _length(value: Any) -> int:
    return len(value) if isinstance(value, dict | list) else 0


def _values(value: Any) -> int:
    """How many JSON values there are in ``value``, itself included; it is not deep."""
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_values, children))
