"""Hostile and broken bytes: each is a clear ModelFormatError; nothing is executed, nothing huge is allocated."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelpress.errors import ModelFormatError
from modelpress.graph.export import export
from modelpress.graph.serialise import load, save
from modelpress.testing.zoo import ZOO

FILES = save(export(ZOO["lenet-5"].lively(), ZOO["lenet-5"].example()))
GRAPH = json.loads(FILES.graph_json)
Change = Callable[[dict[str, Any]], object]


def changed(change: Change) -> bytes:
    graph = copy.deepcopy(GRAPH)
    change(graph)
    return json.dumps(graph).encode()


def first(graph: dict[str, Any], op: str) -> dict[str, Any]:
    node: dict[str, Any] = next(n for n in graph["nodes"] if n["op"] == op)
    return node


def rename_leaf(name: str) -> Change:
    def change(g: dict[str, Any]) -> None:
        g["leaves"][name] = g["leaves"].pop("conv1")
        next(n for n in g["nodes"] if n.get("leaf") == "conv1")["leaf"] = name

    return change


CODE = "x'); __import__('os').system('touch /tmp/owned'); ('"
CHANGES: dict[str, tuple[Change, str]] = {
    "unknown operator": (lambda g: first(g, "call").update(target="aten.from_file.default"), "unknown operator"),
    "python builtin": (lambda g: first(g, "call").update(target="builtins.eval"), "unknown operator"),
    "unknown leaf type": (lambda g: g["leaves"]["conv1"].update(type="Lambda"), "unknown leaf type"),
    "code in an input's name": (
        lambda g: (g["inputs"][0].update(name=CODE), first(g, "input").update(input=CODE)),
        "no input name",
    ),
    "code in a keyword": (lambda g: first(g, "call").update(kwargs={CODE: 1}), "takes no keyword"),
    "code in a leaf's path": (rename_leaf(CODE), "is no path"),
    "dunder path": (rename_leaf("__class__"), "is no path"),
    "path that hides forward": (rename_leaf("forward"), "is no path"),
    "keyword path": (rename_leaf("import"), "is no path"),
    "wrong type of argument": (lambda g: first(g, "call").update(args=["text"]), "not 'text'"),
    "too many arguments": (lambda g: first(g, "call")["args"].extend([1] * 9), "at most"),
    "forward reference": (lambda g: first(g, "call").update(args=[{"node": 10**6}]), "must come earlier"),
    "reference to itself": (
        lambda g: next((n.update(args=[{"node": i}])) for i, n in enumerate(g["nodes"]) if n["op"] == "call"),
        "must come earlier",
    ),
    "huge integer": (lambda g: first(g, "leaf").update(args=[10**30]), "digits"),
    "huge layer": (lambda g: g["leaves"]["conv1"]["config"].update(out_channels=2**31 - 1), "shape"),
    "negative size": (lambda g: g["leaves"]["conv1"]["config"].update(out_channels=-1), "out_channels"),
    "wrong type in a config": (lambda g: g["leaves"]["conv1"]["config"].update(groups="1"), "groups"),
    "unknown config": (lambda g: g["leaves"]["conv1"]["config"].update(device="meta"), "device"),
    "groups that do not divide": (lambda g: g["leaves"]["conv2"]["config"].update(groups=5), "refuses"),
    "missing tensor": (lambda g: g["tensors"].pop("fc1.weight"), "different tensors"),
    "invented tensor": (lambda g: g["tensors"].update({"x": {"kind": "buffer"}}), "different tensors"),
    "tie to nowhere": (
        lambda g: g["tensors"].update({"x": {"kind": "buffer", "tied_to": "nothing"}}),
        "not stored",
    ),
    "tensor of a leaf removed by a tie": (
        lambda g: g["tensors"]["conv1.weight"].update(tied_to="conv1.weight"),
        "different tensors",
    ),
    "parameter made a buffer": (lambda g: g["tensors"]["fc1.weight"].update(kind="buffer", trainable=False), "needs"),
    "two outputs of nothing": (lambda g: g.update(output={"tuple": [{"node": 99999}]}), "output"),
    "inputs that are not read": (lambda g: g["inputs"].append({"name": "y", "dtype": "float32", "shape": [1]}), "same"),
    "unknown dtype": (lambda g: g["inputs"][0].update(dtype="object"), "unknown dtype"),
    "later version": (lambda g: g.update(version=2), "version 2"),
    "unknown field": (lambda g: g.update(hook="x"), "hook"),
    "unknown constraint": (
        lambda g: g["leaves"]["fc1"].update(constraints={"weight": [{"type": "Exec", "config": {}}]}),
        "no stack",
    ),
    "leaf in place of a leaf's weight": (
        lambda g: g["leaves"].update({"fc1.weight": {"type": "Dropout", "config": {"p": 0.5}}}),
        "no node calls",
    ),
    "leaf that no node calls": (
        lambda g: g["leaves"].update({"extra": {"type": "Dropout", "config": {"p": 0.5}}}),
        "no node calls",
    ),
    "leaf through a number": (rename_leaf("fc1.in_features.x"), "no module|is missing|different tensors"),
    "infinite number": (lambda g: g["facts"].update(x=float("inf")), "bare constant"),
    "too many leaves": (
        lambda g: g["leaves"].update({f"l{i}": {"type": "Dropout", "config": {"p": 0.5}} for i in range(20_001)}),
        "the limit is",
    ),
    "a sample of terabytes": (lambda g: g["inputs"][0].update(shape=["batch", 2**27, 2**27]), "elements"),
    "input after a call": (
        lambda g: g["nodes"].append({"op": "input", "input": "y"}),
        "before all other nodes",
    ),
    "unknown form": (lambda g: g.update(form="magic"), "form"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_tampered_graph_is_refused(name: str) -> None:
    change, message = CHANGES[name]
    with pytest.raises(ModelFormatError, match=message):
        load(changed(change), FILES.tensors)
    assert not Path("/tmp/owned").exists()


def test_the_untampered_graph_loads() -> None:
    assert load(json.dumps(GRAPH).encode(), FILES.tensors).inputs[0].name == "x"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "nested deeper"),
        (b'{"format": "x", "format": "y"}', "duplicate key"),
        (b'{"output": NaN}', "bare constant"),
        (b"[]", "graph.json"),
        (pickle.dumps({"a": 1}), "no JSON"),
    ],
)
def test_what_is_no_graph_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ModelFormatError, match=message):
        load(data, FILES.tensors)


@pytest.mark.parametrize("cut", [0, 4, 100, len(FILES.tensors) - 1])
def test_truncated_tensors_are_refused(cut: int) -> None:
    with pytest.raises(ModelFormatError, match=r"tensors\.safetensors"):
        load(FILES.graph_json, FILES.tensors[:cut])


def test_many_inputs_are_refused_quickly() -> None:
    many = {"op": "input", "input": "x"}
    with pytest.raises(ModelFormatError, match="no node calls"):
        load(changed(lambda g: g["nodes"].__setitem__(slice(None), [many] * 100_000)), FILES.tensors)


def test_a_number_beyond_floats_is_refused() -> None:
    with pytest.raises(ModelFormatError, match="not finite"):
        load(FILES.graph_json.replace(b'"facts":{}', b'"facts":{"x":1e999}'), FILES.tensors)


def test_wrong_shapes_and_dtypes_are_refused() -> None:
    tensors = safetensors.torch.load(FILES.tensors)
    for bad in (tensors["fc1.weight"].T.contiguous(), tensors["fc1.weight"].int()):
        with pytest.raises(ModelFormatError, match=r"fc1\.weight"):
            load(FILES.graph_json, safetensors.torch.save({**tensors, "fc1.weight": bad}))


def test_a_pickle_renamed_is_refused(tmp_path: Path) -> None:
    torch.save({"x": torch.ones(1)}, tmp_path / "m")
    with pytest.raises(ModelFormatError):
        load(FILES.graph_json, (tmp_path / "m").read_bytes())


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(FILES.graph_json) - 1), st.binary(min_size=1, max_size=4))
def test_mutated_graphs_load_or_are_refused(at: int, data: bytes) -> None:
    mutated = FILES.graph_json[:at] + data + FILES.graph_json[at + len(data) :]
    try:
        loaded = load(mutated, FILES.tensors)
    except ModelFormatError:
        return
    assert [s.name for s in loaded.inputs]
