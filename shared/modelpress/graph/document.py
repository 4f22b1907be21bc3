"""``graph.json``: its grammar as strict records, and reading it with limits. FORMAT.md tells it in words."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from modelpress.errors import ModelFormatError

FORMAT: Literal["modelpress-graph"] = "modelpress-graph"
VERSION: Literal[2] = 2
READABLE = (1, 2)
MAX_BYTES = 64 * 2**20
MAX_NODES = 200_000
MAX_DEPTH = 32
MAX_ENTRIES = 20_000
"""Of leaves, tensors and inputs."""
MAX_ELEMENTS = 2**28
"""Of one sample of an input."""
MAX_INT_DIGITS = 20


Size = Annotated[int, Field(ge=1, le=MAX_ELEMENTS)]
Symbol = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class InputRecord(Record):
    """A graph input; a text in ``shape`` is a dynamic dimension, a symbol whose size ``sizes`` gives an example of."""

    name: str
    dtype: str
    shape: tuple[Size | Symbol, ...] = Field(max_length=16)

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
    constraints: dict[str, tuple[ConstraintRecord, ...]] = {}


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
    args: tuple[Any, ...]


class CallNode(Record):
    op: Literal["call"]
    target: str
    args: tuple[Any, ...]
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
    inputs: tuple[InputRecord, ...]
    sizes: dict[Symbol, Annotated[int, Field(ge=1, le=65536)]]
    leaves: dict[str, LeafRecord]
    tensors: dict[str, TensorRecord]
    nodes: tuple[Node, ...] = Field(max_length=MAX_NODES)
    output: Any
    facts: dict[str, Any] = {}
    notes: tuple[str, ...] = ()


def parse(data: bytes) -> Document:
    """Read and check ``graph.json``.

    Raises:
        ModelFormatError: too large, no JSON, duplicate keys, too deep, or not of the grammar; names the place.
    """
    if len(data) > MAX_BYTES:
        raise ModelFormatError(f"graph.json has {len(data)} bytes; the limit is {MAX_BYTES}")
    try:
        value = json.loads(
            data, object_pairs_hook=_unique, parse_int=_bounded_int, parse_float=_finite, parse_constant=_no_constant
        )
    except (UnicodeDecodeError, json.JSONDecodeError) as e:
        raise ModelFormatError(f"graph.json is no JSON: {e}") from e
    except RecursionError as e:
        raise ModelFormatError("graph.json is nested too deeply") from e
    _check_depth(value)
    _check_counts(value)
    value = _current(value)
    try:
        return Document.model_validate_json(json.dumps(value))
    except ValidationError as e:
        fault = e.errors()[0]
        where = ".".join(str(x) for x in fault["loc"])
        raise ModelFormatError(f"graph.json: {where}: {fault['msg']}") from e


def _current(value: Any) -> Any:
    """An older version's document in the words of this one; what is no document at all is left to the grammar."""
    version = value.get("version") if isinstance(value, dict) else None
    if version is None or version == VERSION:
        return value
    if version != 1:
        raise ModelFormatError(f"graph.json has version {version!r}; this modelpress reads {READABLE}")
    return {**value, "version": VERSION, "sizes": {"batch": 2}, "inputs": _with_symbols(value.get("inputs"))}


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


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ModelFormatError(f"graph.json has a duplicate key among {[k for k, _ in pairs][:8]}")
    return found


def _bounded_int(text: str) -> int:
    if len(text) > MAX_INT_DIGITS:
        raise ModelFormatError(f"graph.json has an integer of {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ModelFormatError(f"graph.json has the number {text[:40]}, which is not finite")
    return value


def _no_constant(text: str) -> float:
    raise ModelFormatError(f"graph.json has the bare constant {text}; write {{'float': '{text.lower()}'}}")


def _check_counts(value: Any) -> None:
    """Refuse what would cost much to refuse later: each leaf is a module, each wrong entry an error record."""
    for part in ("leaves", "tensors", "inputs"):
        entries = value.get(part) if isinstance(value, dict) else None
        if isinstance(entries, dict | list) and len(entries) > MAX_ENTRIES:
            raise ModelFormatError(f"graph.json: {part} has {len(entries)} entries; the limit is {MAX_ENTRIES}")


def _check_depth(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        children = (c.values() if isinstance(c, dict) else c for c in level if isinstance(c, dict | list))
        level = [x for child in children for x in child]
        if not level:
            return
    raise ModelFormatError(f"graph.json is nested deeper than {MAX_DEPTH}")
