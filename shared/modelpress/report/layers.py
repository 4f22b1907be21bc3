"""What a stored model is made of, layer by layer, read from its ``graph.json`` and tensor headers; no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.manifest import Manifest, read_layer
from modelpress.artifacts.store import Store
from modelpress.errors import StoreError

GRAPH = "graph.json"
SHARD_SUFFIX = ".safetensors"

DTYPE_BITS: Mapping[str, int] = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64,
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """A stored tensor's header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int

    @property
    def bits(self) -> int:
        """Of one element as stored."""
        return DTYPE_BITS.get(self.dtype, 0)

    @property
    def elements(self) -> int:
        total = 1
        for n in self.shape:
            total *= n
        return total


@dataclass(frozen=True)
class Layer:
    """A leaf of the graph. ``shape`` and ``bits`` are of its weight; ``size_bytes`` of all its tensors."""

    path: str
    type: str
    shape: tuple[int, ...]
    bits: int
    parameters: int
    size_bytes: int
    constraints: tuple[str, ...] = ()


def layers(store: Store, manifest: Manifest) -> list[Layer]:
    """The leaves that hold tensors, in graph order.

    Raises:
        StoreError: the artifact's blobs are missing or are no model.
    """
    document = json.loads(read_layer(store, manifest, GRAPH))
    tensors = list(stored_tensors(store, manifest))
    order = dict.fromkeys(node["leaf"] for node in document["nodes"] if node["op"] == "leaf")
    made = (_layer(path, document["leaves"][path], document["tensors"], tensors) for path in order)
    return [layer for layer in made if layer.size_bytes]


def stored_tensors(store: Store, manifest: Manifest) -> Iterator[Tensor]:
    """Headers of every tensor of every shard."""
    for layer in manifest.layers:
        if layer.role.endswith(SHARD_SUFFIX):
            yield from tensor_headers(store.blobs.read(Digest(layer.digest)))


def tensor_headers(data: bytes) -> Iterator[Tensor]:
    """The header of a safetensors file: eight bytes of length, then JSON.

    Raises:
        StoreError: ``data`` is no such file.
    """
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= len(data) - 8:
        raise StoreError(f"a tensor file of {len(data)} bytes has a header of {length} bytes: it is cut or no safetensors")
    header = json.loads(data[8 : 8 + length])
    for name, facts in header.items():
        if name != "__metadata__":
            start, end = facts["data_offsets"]
            yield Tensor(name, facts["dtype"], tuple(facts["shape"]), end - start)


def _layer(path: str, leaf: Mapping[str, Any], records: Mapping[str, Any], tensors: list[Tensor]) -> Layer:
    own = [t for t in tensors if t.name.startswith(f"{path}.")]
    main = max((t for t in own if "weight" in t.name.removeprefix(path)), key=lambda t: t.elements, default=None)
    counted = sum(t.elements for t in own if records.get(t.name, {}).get("kind") == "parameter" or t is main)
    constraints = tuple(c["type"] for stack in leaf.get("constraints", {}).values() for c in stack)
    return Layer(
        path=path,
        type=str(leaf["type"]),
        shape=main.shape if main else (),
        bits=main.bits if main else 0,
        parameters=counted,
        size_bytes=sum(t.size_bytes for t in own),
        constraints=constraints,
    )
