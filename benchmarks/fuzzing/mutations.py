"""Changes to valid files: of their bytes, and of the structure of JSON, safetensors and zip archives."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from random import Random
from typing import Any

from benchmarks.fuzzing.calls import call
from benchmarks.fuzzing.parsers import ARCHIVE, GRAPH, TENSORS, Files

NUMBERS = (
    -1, 0, 1, 2, 3, 7, 16, 255, 4096, 65_535, 2**20, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, 2**63, 10**19, 10**40,
    -(2**31), -(2**63), 0.0, -0.0, 0.5, -1.5, 1e-300, 1e300,
)  # fmt: skip
TEXTS = (
    "", "x", "__class__", "forward", "x'); raise SystemExit(7); ('", "../x", "a.b", "\ud800", "\0", "é" * 300,
    "float64", "int64", "bool", "batch", "same", "input", "call", "tensor", "leaf", "weight", "LSTM", "Conv2d",
    "Embedding", "Attention", "aten.cat.default", "aten.expand.default", "aten.repeat.default", "aten.unbind.int",
    "item", "arange", "int_mul", "aten.from_file.default", "F8_E4M3", "I64", "inf",
)  # fmt: skip
OTHERS: tuple[Any, ...] = (
    None, True, False, [], {}, [[]], {"node": 0}, {"node": 1}, {"float": "nan"}, {"dtype": "int64"}, {"tuple": []},
    {"dict": []}, [1, 1], [0, 2**31], [{"node": 0}] * 3,
)  # fmt: skip
Spot = tuple[Any, Any]
"""A container of a JSON value and a key or index in it."""


def mutated(files: Files, donor: Files, parser: str, random: Random) -> Files:
    """``files`` with what ``parser`` reads changed; ``donor`` is another valid model to take parts from."""
    changed = dict(files)
    for name in [n for n in files if parser in (n, "model")]:
        changed[name] = _file(name, files[name], donor.get(name, files[name]), random)
    if parser == "model" and random.random() < 0.2:
        changed[TENSORS] = donor[TENSORS]
    return changed


def _file(name: str, data: bytes, donor: bytes, random: Random) -> bytes:
    if random.random() < 0.25:
        return of_bytes(data, donor, random)
    return {GRAPH: of_graph, TENSORS: of_tensors, ARCHIVE: of_zip}[name](data, donor, random)


# --- bytes


def of_bytes(data: bytes, donor: bytes, random: Random) -> bytes:
    """A few flips, cuts, repeats and splices."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        at, length = random.randrange(len(data) + 1), random.choice((1, 2, 4, 8, 64))
        kind = random.randrange(6)
        if kind == 0:
            data = data[:at] + random.randbytes(length) + data[at + length :]
        elif kind == 1:
            data = data[:at]
        elif kind == 2:
            data = data[:at] + data[at + length :]
        elif kind == 3:
            data = data[:at] + data[at : at + length] * random.choice((2, 3, 50)) + data[at + length :]
        elif kind == 4:
            start = random.randrange(len(donor) + 1)
            data = data[:at] + donor[start : start + length * 8] + data[at:]
        else:
            data = data[:at] + struct.pack("<Q", random.choice((0, 1, 2**31, 2**63 - 1, 2**64 - 1))) + data[at + 8 :]
    return data


# --- graphs


def of_graph(data: bytes, donor: bytes, random: Random) -> bytes:
    """Its JSON changed, or calls added to it that are right in all but their arguments' values."""
    if random.random() < 0.5:
        return of_json(data, donor, random)
    graph = json.loads(data)
    for _ in range(random.choice((1, 1, 2, 4, 8))):
        graph["nodes"].append(call(random, len(graph["nodes"])))
    graph["output"] = {"node": len(graph["nodes"]) - 1}
    return json.dumps(graph).encode()


# --- JSON


def of_json(data: bytes, donor: bytes, random: Random) -> bytes:
    """Values replaced, deleted, swapped and copied; now and then a key twice."""
    value, other = json.loads(data), json.loads(donor)
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        _change(value, other, random)
    text = json.dumps(value)
    if random.random() < 0.05:
        text = text.replace('"op":', '"op": "call", "op":', 1)
    return text.encode()


def _change(value: Any, other: Any, random: Random) -> None:
    spots, parts = _spots(value), _spots(other)
    if not spots:
        return
    container, key = random.choice(spots)
    kind = random.randrange(7)
    if kind == 0:
        del container[key]
    elif kind == 1:
        container[key] = _other_value(container[key], random)
    elif kind == 2 and parts:
        source, name = random.choice(parts)
        container[key] = json.loads(json.dumps(source[name]))
    elif kind == 3:
        again, name = random.choice(spots)
        container[key], again[name] = json.loads(json.dumps(again[name])), json.loads(json.dumps(container[key]))
    elif kind == 4 and isinstance(container, list):
        container.insert(key, json.loads(json.dumps(container[key])))
    elif kind == 5 and isinstance(container, dict):
        container[_text(key, random)] = container.pop(key)
    else:
        source, name = random.choice([s for s in spots if type(s[0][s[1]]) is type(container[key])])
        container[key] = json.loads(json.dumps(source[name]))


def _spots(value: Any) -> list[Spot]:
    found: list[Spot] = []
    level = [value]
    while level:
        part = level.pop()
        keys = list(part) if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ()
        found += [(part, key) for key in keys]
        level += [part[key] for key in keys]
    return found


def _other_value(value: Any, random: Random) -> Any:
    if isinstance(value, str) and random.random() < 0.7:
        return _text(value, random)
    if isinstance(value, int | float) and random.random() < 0.7:
        return random.choice((*NUMBERS, value + 1, value - 1, value * 2, -value, float(value), str(value)))
    return json.loads(json.dumps(random.choice((*NUMBERS, *TEXTS, *OTHERS))))


def _text(value: str, random: Random) -> str:
    at = random.randrange(len(value) + 1)
    return random.choice(
        (*TEXTS, value + "_", value * 2, value[:at], value[:at] + random.choice("'\"\\\n.{}") + value[at:])
    )


# --- archives


def of_tensors(data: bytes, donor: bytes, random: Random) -> bytes:
    """A header that lies, with a length that is right."""
    size = int.from_bytes(data[:8], "little")
    header = of_json(data[8 : 8 + size], donor[8 : 8 + int.from_bytes(donor[:8], "little")], random)
    return struct.pack("<Q", len(header)) + header + data[8 + size :]


def of_zip(data: bytes, donor: bytes, random: Random) -> bytes:
    """One member changed, renamed, dropped or doubled; checksums are right."""
    members = _members(data)
    name = random.choice(list(members))
    kind = random.randrange(8)
    if kind == 0:
        members.pop(name)
    elif kind == 1:
        members[_text(name, random)] = members.pop(name)
    elif kind == 2:
        members[name] = random.choice(list(_members(donor).values()))
    elif name.endswith(".json"):
        members[name] = of_json(members[name], members[name], random)
    else:
        members[name] = of_bytes(members[name], members[name], random)
    return _zipped(members)


def _members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.encode(errors="replace").decode().partition("\0")[0] or "x", data)
    return file.getvalue()
