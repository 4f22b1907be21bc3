"""``graph.json``'s grammar: what parses, what is refused and why, and that limits come before costs."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from modelpress.errors import ModelFormatError
from modelpress.graph import document
from modelpress.graph.document import parse, render
from tests.unit.graph.crafted import call, graph, node, read, stored

SOUND = json.loads(graph([call("aten.relu.default", node(0))]))


def text(**changes: Any) -> bytes:
    return json.dumps({**SOUND, **changes}).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b'{"a": "\xff"}', "no JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "nested deeper"),
        (b'{"format": "x", "format": "y"}', "duplicate key"),
        (b'{"output": NaN}', "bare constant"),
        (b'{"output": -Infinity}', "bare constant"),
        (b'{"output": 1e999}', "not finite"),
        (b'{"output": ' + b"9" * 5_000 + b"}", "5000 digits"),
        (b"[]", "graph.json"),
        (b"null", "graph.json"),
        (b"{} {}", "no JSON"),
        ("{}".encode("utf-16"), "no JSON"),
        ("{}".encode("utf-32-le"), "no JSON"),
        (b"\xef\xbb\xbf{}", "no JSON"),
        (b'{"output": [%s0]}' % (b"0, " * 65_536), "output holds more than 65536 values"),
        (pickle.dumps({"a": 1}), "no JSON"),
        (b"[" + b"1," * (8 * 2**20) + b"1]", "the limit is"),
        (b"[" + b"1," * 1_000_000 + b"1]", "more than 1000000 values"),
    ],
    ids=range(20),
)
def test_what_is_no_graph_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ModelFormatError, match=message):
        parse(data)


@pytest.mark.parametrize("part", document.COUNTS)
def test_each_part_has_a_limit_that_comes_before_its_faults(part: str) -> None:
    """Each wrong entry would be an error record: a million of them are gigabytes."""
    count = document.COUNTS[part] + 1
    entries: Any = [0] * count if isinstance(SOUND.get(part, []), list) else {f"x{i}": 0 for i in range(count)}
    with pytest.raises(ModelFormatError, match=f"{part} has {count} entries"):
        parse(text(**{part: entries}))


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"inputs": [{"name": "x", "dtype": "float32", "shape": [-1] * 300_000}]}, "inputs.0.shape.0"),
        ({"nodes": [{"op": "call", "target": "x", "args": 3}]}, "nodes.0.call.args"),
        ({"notes": [1] * 1_000}, "notes.0"),
        ({"nodes": [1] * 10_000}, "nodes.0"),
    ],
    ids=["shape", "args", "notes", "nodes"],
)
def test_the_first_fault_is_told_with_its_place(change: dict[str, Any], place: str) -> None:
    with pytest.raises(ModelFormatError, match=f"graph.json: {place}"):
        parse(text(**change))


def test_a_leaf_with_a_thousand_constrained_tensors_is_refused() -> None:
    leaf = {"type": "Linear", "config": {}, "constraints": {str(i): 0 for i in range(1_000)}}
    with pytest.raises(ModelFormatError, match=r"leaves\.fc: more than 64"):
        parse(text(leaves={"fc": leaf}))


def test_canonical_bytes_are_a_fixed_point() -> None:
    for name in ("convnet", "mlp", "quantized", "tied"):
        data = stored(name).graph_json
        assert render(parse(data)) == data
        assert data.isascii()
        assert b'", ' not in data


def test_order_and_space_of_the_json_do_not_matter() -> None:
    turned = json.dumps(dict(reversed(SOUND.items())), indent=3).encode()
    assert render(parse(turned)) == render(parse(json.dumps(SOUND).encode()))


def test_a_graph_of_the_most_nodes_is_read() -> None:
    """What is allowed is done: as many operators as there may be."""
    count = document.MAX_NODES - 1
    assert len(parse(graph([call("aten.relu.default", node(i)) for i in range(count)])).nodes) == document.MAX_NODES


def test_a_million_nodes_are_refused_with_the_reason() -> None:
    nodes = [{"op": "input", "input": "x"}] * 1_000_000
    with pytest.raises(ModelFormatError, match=r"the limit is|values"):
        parse(text(nodes=nodes))


def test_a_graph_of_no_operators_is_the_identity() -> None:
    model = read(graph([]))
    (x,) = model.examples()
    assert model.module(x) is x


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"dict": {"b": node(0), "a": {"list": [node(1)]}}}, {"dict": [["b", node(0)], ["a", {"list": [node(1)]}]]}),
        ({"tuple": [{"dict": {}}, node(1)]}, {"tuple": [{"dict": []}, node(1)]}),
        (node(1), node(1)),
    ],
)
def test_version_1_wrote_dicts_and_batches_in_another_way(old: Any, new: Any) -> None:
    inputs = [{"name": "x", "dtype": "float32", "shape": [None, 4]}]
    first = {k: v for k, v in SOUND.items() if k != "sizes"} | {"version": 1, "inputs": inputs, "output": old}
    upgraded = parse(json.dumps(first).encode())
    assert (upgraded.version, upgraded.sizes, upgraded.output) == (2, {"batch": 2}, new)
    assert upgraded.inputs[0].shape == ("batch", 4)


@pytest.mark.parametrize("version", [0, 3, -1, 2.0, "2", True, None])
def test_another_version_is_refused(version: Any) -> None:
    with pytest.raises(ModelFormatError, match="version"):
        parse(text(version=version))
