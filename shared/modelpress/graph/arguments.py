"""Arguments of operators as JSON: nodes by index, and the few constants that operators take."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx

from modelpress.errors import ModelFormatError

DTYPES: Mapping[str, torch.dtype] = {
    name: getattr(torch, name)
    for name in ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64")
}
MEMORY_FORMATS: Mapping[str, torch.memory_format] = {
    name: getattr(torch, name) for name in ("contiguous_format", "preserve_format", "channels_last")
}
FLOATS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
MAX_INT = 2**63 - 1
MAX_LIST = 4096
"""Entries of a list of arguments."""


def encode(value: Any, index: Mapping[fx.Node, int]) -> Any:
    """JSON for an argument.

    Raises:
        ModelFormatError: a value that the format has no word for.
    """
    if isinstance(value, fx.Node):
        return {"node": index[value]}
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, list | tuple):
        return [encode(v, index) for v in value]
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, torch.memory_format):
        return {"memory_format": str(value).removeprefix("torch.")}
    raise ModelFormatError(f"an argument of type {type(value).__name__} has no place in the format: {value!r}")


def decode(value: Any, nodes: Sequence[fx.Node], where: str) -> Any:
    """The argument that JSON stands for; only nodes before this one can be named.

    Raises:
        ModelFormatError: an unknown word, a node that is not there yet, an integer beyond 64 bits, a list too long.
    """
    if isinstance(value, list):
        if len(value) > MAX_LIST:
            raise ModelFormatError(f"{where}: a list of {len(value)} arguments; the limit is {MAX_LIST}")
        return [decode(v, nodes, where) for v in value]
    if isinstance(value, dict):
        return _decode_word(value, nodes, where)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_INT:
        raise ModelFormatError(f"{where}: integer {value} is out of range")
    return value


def _decode_word(value: dict[str, Any], nodes: Sequence[fx.Node], where: str) -> Any:
    if len(value) == 1:
        word, body = next(iter(value.items()))
        if word == "node" and isinstance(body, int) and not isinstance(body, bool) and 0 <= body < len(nodes):
            return nodes[body]
        tables: Mapping[str, Mapping[str, Any]] = {"dtype": DTYPES, "memory_format": MEMORY_FORMATS, "float": FLOATS}
        if word in tables and isinstance(body, str) and body in tables[word]:
            return tables[word][body]
    raise ModelFormatError(
        f"{where}: {str(value)[:200]} is no argument; the node must come earlier, the word be one of the format's"
    )


def encode_output(value: Any, index: Mapping[fx.Node, int]) -> Any:
    """JSON for the graph's output: a node or a constant, or nested lists, tuples and dicts (with text keys) of them.

    A dict is a list of pairs, because its order is the caller's and canonical JSON sorts its keys.

    Raises:
        ModelFormatError: another container, such as a named tuple.
    """
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ModelFormatError(f"an output's keys must be text, not {list(value)}")
        return {"dict": [[key, encode_output(v, index)] for key, v in value.items()]}
    if isinstance(value, list | tuple):
        if hasattr(value, "_fields"):
            raise ModelFormatError("a named tuple is no output of the format: return a tuple or a dict")
        # fx keeps lists as its own immutable class.
        return {"list" if isinstance(value, list) else "tuple": [encode_output(v, index) for v in value]}
    return encode(value, index)


def decode_output(value: Any, nodes: Sequence[fx.Node]) -> Any:
    """The inverse of `encode_output`.

    Raises:
        ModelFormatError: another structure, or a dict with a key twice.
    """
    if not isinstance(value, dict | list):
        return decode(value, nodes, "output")
    if isinstance(value, dict) and len(value) == 1:
        word, body = next(iter(value.items()))
        if word == "node":
            return decode(value, nodes, "output")
        if word == "dict" and isinstance(body, list):
            return _decode_pairs(body, nodes)
        if word in ("list", "tuple") and isinstance(body, list):
            parts = [decode_output(v, nodes) for v in body]
            return parts if word == "list" else tuple(parts)
    raise ModelFormatError(f"output: {str(value)[:200]} is no output; it is a node, a constant, a list, tuple or dict")


def _decode_pairs(pairs: list[Any], nodes: Sequence[fx.Node]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)) or pair[0] in found:
            raise ModelFormatError(f"output: {str(pair)[:200]} is no pair of a key, each once, and an output")
        found[pair[0]] = decode_output(pair[1], nodes)
    return found
