"""Broken and hostile graphs in ``.pt2`` archives: each is a clear ModelFormatError; nothing is evaluated."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from modelpress.errors import ModelFormatError
from modelpress.graph.pt2.reader import read_pt2
from modelpress.graph.serialise import load, save
from tests.unit.graph.pt2.archives import MODEL, WEIGHTS, edited, exported, refused, sample

Change = Callable[[Any], object]

ARCHIVE = sample()
CODE = "x'); __import__('os').system('touch /tmp/owned'); ('"


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


def test_tensors_that_only_broadcast() -> None:
    def one_bias(config: Any) -> None:
        config["config"]["head.bias"]["tensor_meta"]["sizes"] = [{"as_int": 1}]

    refused(edited(ARCHIVE, WEIGHTS, one_bias), "'head.bias' does not fit its layer")


def test_statistics_that_are_parameters() -> None:
    refused(
        edited(ARCHIVE, WEIGHTS, lambda c: c["config"]["norm.running_var"].update(is_param=True)),
        "'norm.running_var' does not fit its layer",
    )


def many_regions(program: Any) -> None:
    call = node(program, "wrap_with_set_grad_enabled")
    for i in range(1001):
        another = copy.deepcopy(call)
        for k, output in enumerate(another["outputs"]):
            output["as_tensor"]["name"] = f"another_{i}_{k}"
        graph(program)["nodes"].append(another)


def test_a_thousand_graphs_within_a_graph() -> None:
    refused(edited(REGION, MODEL, many_regions), "more than 1000 graphs")


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
    files = save(model)
    assert save(load(files.graph_json, files.tensors)) == files
