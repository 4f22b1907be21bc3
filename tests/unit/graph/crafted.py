"""Files of the format made by hand, for tests of what reading refuses."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch

from modelpress.graph.model import Model
from modelpress.graph.serialise import Serialised, load, save

Json = dict[str, Any]
Change = Callable[[Json], object]
NO_TENSORS = safetensors.torch.save({})
FIXTURES = Path(__file__).parents[2] / "fixtures" / "format" / "v1"


def stored(name: str) -> Serialised:
    """A small model of the fixtures in the present version's words."""
    folder = FIXTURES / name
    return save(load((folder / "graph.json").read_bytes(), (folder / "tensors.safetensors").read_bytes()))


def changed(files: Serialised, change: Change) -> bytes:
    """``graph.json`` of ``files`` after ``change``."""
    graph = copy.deepcopy(json.loads(files.graph_json))
    change(graph)
    return json.dumps(graph).encode()


def call(target: str, *args: Any, **kwargs: Any) -> Json:
    return {"op": "call", "target": target, "args": list(args), "kwargs": kwargs}


def node(index: int) -> Json:
    return {"node": index}


def graph(
    nodes: Sequence[Json],
    shape: Sequence[int | str] = ("batch", 4),
    dtype: str = "float32",
    leaves: Mapping[str, Json] | None = None,
    output: Any = None,
) -> bytes:
    """``graph.json`` of one input ``x``, which is node 0, and ``nodes``; its output is the last of them."""
    document = {
        "format": "modelpress-graph",
        "version": 2,
        "form": "dense",
        "inputs": [{"name": "x", "dtype": dtype, "shape": list(shape)}],
        "sizes": {n: 2 for n in shape if isinstance(n, str)},
        "leaves": dict(leaves or {}),
        "tensors": {},
        "nodes": [{"op": "input", "input": "x"}, *nodes],
        "output": node(len(nodes)) if output is None else output,
    }
    return json.dumps(document).encode()


def read(graph_json: bytes) -> Model:
    """A graph without tensors."""
    return load(graph_json, NO_TENSORS)
