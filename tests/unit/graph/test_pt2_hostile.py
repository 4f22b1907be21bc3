"""Broken and hostile ``.pt2`` archives: each is a clear ModelFormatError; nothing is unpickled, evaluated or huge."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from modelpress.errors import ModelFormatError
from modelpress.graph.pt2 import read_pt2
from modelpress.graph.serialise import save
from tests.unit.graph.archives import MODEL, SAMPLES, WEIGHTS, changed, edited, entries, exported, packed

Change = Callable[[Any], object]


class Net(nn.Module):
    """A few of everything that an archive holds: leaves, a list of outputs, arithmetic on sizes, a nested output."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.1)
        self.head = nn.Linear(4 * 36, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.drop(torch.relu(self.norm(self.conv(x)))).view(x.shape[0], -1)
        first, second = torch.chunk(self.head(x), 2, dim=1)
        return {"first": first, "second": second}


ARCHIVE = exported(Net().eval(), (torch.rand(2, 1, 8, 8),))
CODE = "x'); __import__('os').system('touch /tmp/owned'); ('"


def refused(archive: bytes, message: str) -> None:
    with pytest.raises(ModelFormatError, match=message):
        read_pt2(archive)


class Bomb:
    """What a pickle does when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_the_sample_inputs_are_never_unpickled(tmp_path: Path) -> None:
    bomb = pickle.dumps(Bomb(tmp_path / "owned"))
    model = read_pt2(packed({**entries(ARCHIVE), SAMPLES: bomb}))
    assert model.inputs[0].name == "x"
    assert not (tmp_path / "owned").exists()


# --- the container


def zip64_bomb() -> bytes:
    return packed(entries(ARCHIVE), compression=zipfile.ZIP_DEFLATED)


def patched(old: bytes, new: bytes) -> bytes:
    assert old in ARCHIVE
    return ARCHIVE.replace(old, new)


def with_entry(name: str, data: bytes = b"") -> bytes:
    buffer = io.BytesIO(ARCHIVE)
    folder = zipfile.ZipFile(buffer).namelist()[0].partition("/")[0]
    with zipfile.ZipFile(buffer, "a") as file:
        file.writestr(name.replace("FOLDER", folder), data)
    return buffer.getvalue()


def overlapping() -> bytes:
    """Two entries of the directory that lie at one place: what quoted zip bombs are made of."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in entries(ARCHIVE).items():
            file.writestr(f"m/{name}", data)
        twin = zipfile.ZipInfo("m/twin")
        first = file.infolist()[0]
        twin.header_offset, twin.CRC, twin.file_size, twin.compress_size = (
            0,
            first.CRC,
            first.file_size,
            first.file_size,
        )
        twin.external_attr = twin.volume = 0
        file.filelist.append(twin)
    return buffer.getvalue()


def saved_by_torch_save() -> bytes:
    buffer = io.BytesIO()
    torch.save(nn.Linear(2, 2).state_dict(), buffer)
    return buffer.getvalue()


CONTAINERS: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "does not begin as a zip"),
    "no zip": (lambda: b"ELF" * 100, "does not begin as a zip"),
    "a pickle": (lambda: pickle.dumps({"a": 1}), "is a pickle"),
    "torch.save": (saved_by_torch_save, "pickled module"),
    "an empty zip": (lambda: b"PK\x05\x06" + bytes(18), "does not begin as a zip"),
    "only two ends": (lambda: b"PK\x03\x04" + b"PK\x05\x06" + bytes(18), "archive_format|no zip"),
    "truncated": (lambda: ARCHIVE[:-10], "truncated"),
    "truncated in the middle": (lambda: ARCHIVE[: len(ARCHIVE) // 2], "truncated"),
    "trailing bytes": (lambda: ARCHIVE + b"junk", "after the archive's end"),
    "leading bytes": (lambda: b"junk" + ARCHIVE, "does not begin as a zip"),
    "compressed": (zip64_bomb, "compressed"),
    "a path out": (lambda: with_entry("FOLDER/../../etc/passwd"), "no name of the layout"),
    "an absolute path": (lambda: with_entry("/etc/passwd"), "no name of the layout"),
    "a backslash": (lambda: with_entry("FOLDER/a\\b"), "no name of the layout"),
    "another folder": (lambda: with_entry("other/x"), "no name of the layout"),
    "overlapping entries": (overlapping, "overlaps"),
    "big-endian": (lambda: changed(ARCHIVE, byteorder=b"big"), "byteorder"),
    "no byte order": (lambda: changed(ARCHIVE, byteorder=None), "byteorder"),
    "another format": (lambda: changed(ARCHIVE, archive_format=b"pte"), "archive_format"),
    "another version": (lambda: changed(ARCHIVE, archive_version=b"7"), "archive_version"),
    "an older layout": (lambda: packed({"serialized_exported_program.json": b"{}"}), "older layout"),
    "compiled code": (lambda: packed({"data/aotinductor/model/x.so": b""}), "AOTInductor"),
    "no model": (lambda: packed({k: v for k, v in entries(ARCHIVE).items() if k != MODEL}), r"the models \[\]"),
    "two models": (lambda: packed({**entries(ARCHIVE), "models/b.json": b"{}"}), "one is read"),
    "no weights": (lambda: packed({k: v for k, v in entries(ARCHIVE).items() if k != WEIGHTS}), "no entry"),
    "a flipped bit": (lambda: patched(entries(ARCHIVE)["data/weights/weight_0"], bytes(144)), "CRC"),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers(name: str) -> None:
    make, message = CONTAINERS[name]
    refused(make(), message)


def test_two_entries_of_one_name() -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = with_entry("FOLDER/byteorder", b"little")
    refused(twice, "two entries")


# --- JSON


def json_of(text: bytes) -> bytes:
    return packed({**entries(ARCHIVE), MODEL: text})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "nested too deeply|no JSON"),
        (b"[" * 70 + b"]" * 70, "nested deeper"),
        (b'{"a": 1, "a": 2}', "duplicate key"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "digits"),
        (b'{"a": NaN}', "bare constant"),
        (b'{"a": 1e999}', "not finite"),
        (b"[]", "valid dictionary"),
        (b"{}", "graph_module"),
    ],
)
def test_json(text: bytes, message: str) -> None:
    refused(json_of(text), message)


# --- tensors


def meta(graph: Any, name: str = "conv.weight") -> Any:
    return graph["config"][name]["tensor_meta"]


TENSORS: dict[str, tuple[Change, str]] = {
    "sizes beyond the storage": (lambda c: meta(c).update(sizes=[{"as_int": 4}] * 4), "leave the 144 bytes"),
    "strides beyond the storage": (lambda c: meta(c)["strides"][0].update(as_int=2**40), "leave the 144 bytes"),
    "an offset beyond the storage": (lambda c: meta(c).update(storage_offset={"as_int": 1}), "leave the 144 bytes"),
    "a negative offset": (lambda c: meta(c).update(storage_offset={"as_int": -1}), "no size"),
    "a negative stride": (lambda c: meta(c)["strides"][0].update(as_int=-1), "no size"),
    "a negative size": (lambda c: meta(c)["sizes"][0].update(as_int=-4), "no size"),
    "a symbolic size": (lambda c: meta(c)["sizes"].insert(0, {"as_expr": {"expr_str": CODE}}), "no size"),
    "a truth value for a size": (lambda c: meta(c)["sizes"][0].update(as_int=True), "no size"),
    "an expanded tensor of 2^40 elements": (
        lambda c: meta(c).update(sizes=[{"as_int": 2**20}] * 2, strides=[{"as_int": 0}] * 2),
        "larger than the archive",
    ),
    "a size of 2^62": (lambda c: meta(c).update(sizes=[{"as_int": 2**62}], strides=[{"as_int": 0}]), "no tensor's"),
    "a huge tensor of no elements": (
        lambda c: meta(c).update(sizes=[{"as_int": n} for n in (0, 2**30, 2**30)], strides=[{"as_int": 0}] * 3),
        "no elements",
    ),
    "fewer strides than sizes": (lambda c: meta(c)["strides"].pop(), "no tensor's"),
    "a rank of 100": (lambda c: meta(c).update(sizes=[{"as_int": 1}] * 100), "16 items"),
    "an unknown dtype": (lambda c: meta(c).update(dtype=99), "dtype 99"),
    "a complex dtype": (lambda c: meta(c).update(dtype=10), "dtype 10"),
    "a sparse layout": (lambda c: meta(c).update(layout=1), "layout 1"),
    "a wider dtype": (lambda c: meta(c).update(dtype=8), "leave the 144 bytes"),
    "a parameter of integers": (lambda c: meta(c).update(dtype=4), "cannot be trained"),
    "a pickled weight": (lambda c: c["config"]["conv.weight"].update(use_pickle=True), "stored as a pickle"),
    "an object": (lambda c: c["config"]["conv.weight"].update(tensor_meta=None), "stored as a pickle"),
    "a path out of the folder": (
        lambda c: c["config"]["conv.weight"].update(path_name="../sample_inputs/model.pt"),
        "no entry",
    ),
    "an entry that is missing": (lambda c: c["config"]["conv.weight"].update(path_name="weight_99"), "no entry"),
    "a number for a name": (lambda c: c["config"]["conv.weight"].update(path_name=3), "valid string"),
    "code in a path": (lambda c: c["config"].update({"a" * 300: c["config"]["conv.weight"]}), "path"),
    "a tensor under a tensor": (
        lambda c: c["config"].update({"conv.weight.x": c["config"]["conv.bias"]}),
        "stands where",
    ),
    "two paths that clean to one": (
        lambda c: c["config"].update({"conv.a-b": c["config"]["conv.bias"], "conv.a_b_": c["config"]["conv.bias"]}),
        "stands where",
    ),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors(name: str) -> None:
    change, message = TENSORS[name]
    refused(edited(ARCHIVE, WEIGHTS, change), message)


def test_many_views_of_one_storage_cannot_outgrow_the_archive() -> None:
    def multiply(config: Any) -> None:
        for i in range(1, 30):
            entry = copy.deepcopy(config["config"]["weight"])
            entry["tensor_meta"]["strides"][0]["as_int"] -= i
            config["config"][f"view_{i}"] = entry

    wide = exported(nn.Linear(64, 1024), (torch.rand(2, 64),))
    refused(edited(wide, WEIGHTS, multiply), "larger than the archive")


# --- the graph


def graph(program: Any) -> Any:
    return program["graph_module"]["graph"]


def node(program: Any, target: str) -> Any:
    return next(n for n in graph(program)["nodes"] if target in n["target"])


def argument(program: Any, target: str, name: str) -> Any:
    return next(a for a in node(program, target)["inputs"] if a["name"] == name)


def out_spec(program: Any, **spec: Any) -> None:
    signature = next(e for e in program["graph_module"]["module_call_graph"] if e["fqn"] == "")["signature"]
    signature["out_spec"] = json.dumps([1, spec])


def rename_input(program: Any, name: str) -> None:
    text = json.dumps(program).replace('{"name": "x"}', json.dumps({"name": name}))
    text = text.replace('"x": {"dtype"', f'{json.dumps(name)}: {{"dtype"')
    program.update(json.loads(text))


GRAPHS: dict[str, tuple[Change, str]] = {
    "an operator on files": (lambda p: node(p, "relu").update(target="torch.ops.aten.from_file.default"), "from_file"),
    "a builtin": (lambda p: node(p, "relu").update(target="builtins.eval"), "builtins.eval"),
    "an attribute of torch": (lambda p: node(p, "relu").update(target="torch.load"), "torch.load"),
    "a function of operator": (lambda p: node(p, "relu").update(target="_operator.call"), "_operator.call"),
    "an extension": (lambda p: node(p, "relu").update(target="#mine:op"), "#mine"),
    "a value before its node": (
        lambda p: argument(p, "conv2d", "input").update(arg={"as_tensor": {"name": "relu"}}),
        "not defined before",
    ),
    "a node that reads itself": (
        lambda p: argument(p, "relu", "self").update(arg={"as_tensor": {"name": "relu"}}),
        "not defined before",
    ),
    "an unknown value": (
        lambda p: argument(p, "relu", "self").update(arg={"as_tensor": {"name": "nowhere"}}),
        "not defined before",
    ),
    "a value twice": (lambda p: graph(p)["nodes"].append(node(p, "relu")), "defined twice"),
    "an argument of another type": (
        lambda p: argument(p, "conv2d", "input").update(arg={"as_string": CODE}),
        "is a Tensor",
    ),
    "text for a size": (lambda p: argument(p, "view", "size").update(arg={"as_strings": ["2"]}), "'size' is a"),
    "an unknown keyword": (lambda p: argument(p, "relu", "self").update(name=CODE, kind=2), "takes the arguments"),
    "an argument twice": (
        lambda p: node(p, "relu")["inputs"].append(argument(p, "relu", "self")),
        "takes the arguments",
    ),
    "a missing argument": (lambda p: node(p, "relu")["inputs"].clear(), "lacks its argument"),
    "an integer beyond 64 bits": (lambda p: argument(p, "chunk", "dim").update(arg={"as_int": 2**63}), "as_int"),
    "a subgraph": (
        lambda p: argument(p, "relu", "self").update(arg={"as_graph": {"name": "g", "graph": {}}}),
        "as_graph has no place",
    ),
    "an object": (lambda p: argument(p, "relu", "self").update(arg={"as_custom_obj": {}}), "as_custom_obj"),
    "two kinds at once": (lambda p: argument(p, "relu", "self")["arg"].update(as_int=1), "no union"),
    "an unknown dtype": (lambda p: graph(p)["tensor_values"]["relu"].update(dtype=77), "dtype 77"),
    "a weight that is not there": (
        lambda p: p["graph_module"]["signature"]["input_specs"][0]["parameter"].update(parameter_name="nowhere"),
        "no tensor 'nowhere'",
    ),
    "code for a weight's name": (
        lambda p: p["graph_module"]["signature"]["input_specs"][0]["parameter"].update(parameter_name=CODE),
        "no tensor",
    ),
    "a buffer that changes": (
        lambda p: p["graph_module"]["signature"]["output_specs"].append(
            {"buffer_mutation": {"arg": {"name": "relu"}, "buffer_name": "norm.running_mean"}}
        ),
        "changes 'norm.running_mean'",
    ),
    "an input too many": (
        lambda p: graph(p)["inputs"].append({"as_tensor": {"name": "y"}}),
        "different numbers of inputs",
    ),
    "an input that is an integer": (lambda p: graph(p)["inputs"][-1:].__getitem__(0).clear(), "no union"),
    "an output that is not there": (
        lambda p: graph(p)["outputs"].append({"as_tensor": {"name": "nowhere"}}),
        "not defined before",
    ),
    "another schema": (lambda p: p["schema_version"].update(major=9), "schema version 9"),
    "layers that do not fit": (
        lambda p: argument(p, "conv2d", "weight").update(arg={"as_tensor": {"name": "p_conv_bias"}}),
        "no valid graph",
    ),
    "a class for an output": (
        lambda p: out_spec(p, type="os.system", context='"x"', children_spec=[]),
        "the output is a 'os.system'",
    ),
    "a factory for an output": (
        lambda p: out_spec(
            p, type="collections.defaultdict", context='{"default_factory_module": "os"}', children_spec=[]
        ),
        "the output is a",
    ),
    "too few outputs": (lambda p: out_spec(p, type="builtins.tuple", context="null", children_spec=[]), "0 outputs"),
    "keys that are no text": (
        lambda p: out_spec(p, type="builtins.dict", context="[1]", children_spec=[_leaf()]),
        "lists or dicts",
    ),
    "keys that are one": (
        lambda p: out_spec(p, type="builtins.dict", context='["a", "a"]', children_spec=[_leaf(), _leaf()]),
        "lists or dicts",
    ),
}


class Region(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = torch.relu(x)
        return x + y


REGION = exported(Region(), (torch.rand(2, 4),))


def region(program: Any) -> Any:
    """Arguments of the call of a graph within the graph: whether gradients are on, that graph, its inputs."""
    return [a["arg"] for a in node(program, "wrap_with_set_grad_enabled")["inputs"]]


REGIONS: dict[str, tuple[Change, str]] = {
    "an operator on files": (
        lambda p: region(p)[1]["as_graph"]["graph"]["nodes"][0].update(target="torch.ops.aten.from_file.default"),
        "from_file",
    ),
    "no graph": (lambda p: region(p)[1].update(as_graph=3), "valid dictionary"),
    "a setting of another type": (lambda p: region(p)[0].update(as_bool=3), "is no as_bool"),
    "settings that are missing": (
        lambda p: node(p, "wrap_with_set_grad_enabled")["inputs"].pop(0),
        "as_graph has no place",
    ),
    "a value too few": (lambda p: node(p, "wrap_with_set_grad_enabled")["inputs"].pop(), "takes 1 values"),
    "a number for a value": (
        lambda p: node(p, "wrap_with_set_grad_enabled")["inputs"][-1].update(arg={"as_int": 3}),
        "takes 1 values",
    ),
    "a value from outside": (
        lambda p: region(p)[1]["as_graph"]["graph"]["nodes"][0]["inputs"][0].update(arg={"as_tensor": {"name": "add"}}),
        "not defined before",
    ),
    "an unknown region": (
        lambda p: node(p, "wrap_with_set_grad_enabled").update(target="torch.ops.higher_order.cond"),
        "higher_order.cond",
    ),
}


@pytest.mark.parametrize("name", REGIONS)
def test_regions(name: str) -> None:
    change, message = REGIONS[name]
    refused(edited(REGION, MODEL, change), message)


def _leaf() -> dict[str, Any]:
    return {"type": None, "context": None, "children_spec": []}


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs(name: str) -> None:
    change, message = GRAPHS[name]
    refused(edited(ARCHIVE, MODEL, change), message)


@pytest.mark.parametrize("name", [CODE, "self", "import", "forward", "x y", "__class__", ""])
def test_names_of_inputs_are_made_anew(name: str) -> None:
    model = read_pt2(edited(ARCHIVE, MODEL, lambda p: rename_input(p, name)))
    assert model.inputs[0].name.startswith("input_")
    assert model.module(torch.rand(2, 1, 8, 8))["first"].shape == (2, 2)


def test_expressions_are_never_evaluated(tmp_path: Path) -> None:
    owned = tmp_path / "owned"
    code = f"__import__('os').mkdir({str(owned)!r})"

    def inject(program: Any) -> None:
        for value in graph(program)["tensor_values"].values():
            for size in value["sizes"]:
                if "as_expr" in size:
                    size["as_expr"]["expr_str"] = code
        program["guards_code"] = [code]
        program["range_constraints"] = {code: {"min_val": 0, "max_val": None}}

    model = read_pt2(edited(ARCHIVE, MODEL, inject))
    assert model.inputs[0].shape[0] == "batch"
    assert not owned.exists()


# --- mutations


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_flipped_bytes_are_read_or_refused(data: st.DataObject) -> None:
    broken = bytearray(ARCHIVE)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    _read_or_refuse(bytes(broken))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_changed_values_are_read_or_refused(data: st.DataObject) -> None:
    archive, entry = data.draw(st.sampled_from([(ARCHIVE, MODEL), (ARCHIVE, WEIGHTS), (REGION, MODEL)]))
    _read_or_refuse(edited(archive, entry, lambda value: _mutate(value, data)))


def _mutate(value: Any, data: st.DataObject) -> None:
    """Walk down a random way and put something else there: another JSON value, a neighbour's, or nothing."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        if not isinstance(value[key], dict | list) or data.draw(st.integers(0, 5)) == 0:
            break
        value = value[key]
    choice = data.draw(st.integers(0, 2))
    if choice == 0:
        value[key] = data.draw(JSON)
    elif choice == 1:
        value[key] = value[data.draw(st.sampled_from(keys))]
    else:
        del value[key]


def _read_or_refuse(archive: bytes) -> None:
    try:
        model = read_pt2(archive)
    except ModelFormatError:
        return
    try:
        save(model)
    except ModelFormatError:
        return
