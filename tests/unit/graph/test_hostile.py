"""Tampered graphs: each is a clear ModelFormatError, and no code that a file brings is ever run."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from modelpress.errors import ModelFormatError
from modelpress.graph.axes.analysis import analyse
from modelpress.graph.names import WORDS_OF_SOURCE, is_input_name
from modelpress.graph.operators import PLAIN, targets
from modelpress.graph.serialise import load, save
from tests.unit.graph.crafted import Change, Json, call, changed, graph, node, read, stored

FILES = stored("convnet")
LEAF = "head"
NAMES = (
    "x'); raise SystemExit(7); ('", "x\nraise SystemExit(7)", "x={raise_}", "x#", "x y", "x\u0000", "é", "", "x." * 30,
)  # fmt: skip
NO_INPUTS = (*NAMES, *sorted(WORDS_OF_SOURCE), "class", "1x", "forward")


def first(graph: Json, op: str) -> Json:
    found: Json = next(n for n in graph["nodes"] if n["op"] == op)
    return found


def rename_leaf(name: str) -> Change:
    def change(g: Json) -> None:
        g["leaves"][name] = g["leaves"].pop(LEAF)
        next(n for n in g["nodes"] if n.get("leaf") == LEAF)["leaf"] = name

    return change


def rename_input(name: str) -> Change:
    return lambda g: (g["inputs"][0].update(name=name), first(g, "input").update(input=name))


def config(**values: Any) -> Change:
    return lambda g: g["leaves"]["deep.0"]["config"].update(values)


def record(name: str, **values: Any) -> Change:
    return lambda g: g["tensors"].setdefault(name, {"kind": "buffer"}).update(values)


TARGETS = {
    f"target {target}": (lambda g, t=target: first(g, "call").update(target=t), "unknown operator")
    for target in (
        "aten.from_file.default", "aten.empty.memory_format", "aten.full.default", "aten.nonzero.default",
        "aten.item.default", "aten.set_.source_Tensor", "aten.relu_.default", "aten.relu", "aten.relu.out",
        "prim.device.default", "builtins.eval", "operator.attrgetter", "os.system", "torch.load", "__import__", "",
    )
}  # fmt: skip
IN_NAMES = {f"leaf named {name!r}": (rename_leaf(name), "is no path") for name in NAMES} | {
    f"input named {name!r}": (rename_input(name), "no input name") for name in NO_INPUTS
}
CHANGES: dict[str, tuple[Change, str]] = {
    **TARGETS,
    **IN_NAMES,
    "unknown leaf type": (lambda g: g["leaves"][LEAF].update(type="Lambda"), "unknown leaf type"),
    "leaf type by its module": (lambda g: g["leaves"][LEAF].update(type="torch.nn.Linear"), "unknown leaf type"),
    "code in a keyword": (lambda g: first(g, "call").update(kwargs={NAMES[0]: 1}), "takes no keyword"),
    "keyword given twice": (lambda g: first(g, "call").update(kwargs={"self": node(0)}), "takes no keyword"),
    "dunder path": (rename_leaf("__class__"), "is no path"),
    "path that hides forward": (rename_leaf("forward"), "is no path"),
    "path through a parent folder": (rename_leaf("../../etc/passwd"), "is no path"),
    "path through parametrizations": (rename_leaf("parametrizations.weight"), "is no path"),
    "keyword path": (rename_leaf("import"), "is no path"),
    "path of 201 letters": (rename_leaf("x" * 201), "is no path"),
    "wrong type of argument": (lambda g: first(g, "call").update(args=["text"]), "not 'text'"),
    "too many arguments": (lambda g: first(g, "call")["args"].extend([1] * 9), "at most"),
    "too few arguments": (lambda g: first(g, "call").update(args=[]), "lacks its argument"),
    "forward reference": (lambda g: first(g, "call").update(args=[node(10**6)]), "must come earlier"),
    "negative reference": (lambda g: first(g, "call").update(args=[node(-1)]), "must come earlier"),
    "boolean reference": (lambda g: first(g, "call").update(args=[{"node": True}]), "must come earlier"),
    "reference to itself, the shortest cycle": (
        lambda g: next((n.update(args=[node(i)])) for i, n in enumerate(g["nodes"]) if n["op"] == "call"),
        "must come earlier",
    ),
    "two words in one": (lambda g: first(g, "call").update(args=[{"node": 0, "dtype": "int8"}]), "is no argument"),
    "unknown word": (lambda g: first(g, "call").update(args=[{"device": "cuda"}]), "is no argument"),
    "unknown dtype word": (lambda g: first(g, "call").update(args=[{"dtype": "complex64"}]), "is no argument"),
    "number of 30 digits": (lambda g: first(g, "leaf").update(args=[10**30]), "digits"),
    "number of 64 bits and more": (lambda g: first(g, "call")["args"].append(2**63), "out of range"),
    "list of 5,000": (lambda g: first(g, "call").update(args=[[1] * 5_000]), "the limit is 4096"),
    "layer of petabytes": (config(out_channels=2**31 - 8), "shape"),
    "layer that overflows": (config(out_channels=2**31 - 8, kernel_size=[2**31 - 1] * 2), "deep.0"),
    "negative size": (config(out_channels=-1), "out_channels"),
    "zero groups": (config(groups=0), "groups"),
    "wrong type in a config": (config(groups="1"), "groups"),
    "number as a truth": (config(bias=1), "bias"),
    "unknown config": (config(device="meta"), "device"),
    "padding of text": (config(padding="os"), "padding"),
    "kernel of three dimensions": (config(kernel_size=[3, 3, 3]), "shape"),
    "groups that do not divide": (config(groups=3), "refuses"),
    "infinity as a word in a config": (lambda g: g["leaves"]["deep.1"]["config"].update(eps={"float": "inf"}), "eps"),
    "not a number as text in a config": (lambda g: g["leaves"]["deep.1"]["config"].update(eps="nan"), "eps"),
    "probability of 2": (lambda g: g["leaves"]["drop"]["config"].update(p=2.0), "p: "),
    "missing tensor": (lambda g: g["tensors"].pop("head.weight"), "different tensors"),
    "invented tensor": (record("x"), "different tensors"),
    "tensor with code for a name": (record(NAMES[0]), "different tensors"),
    "tie to nowhere": (record("x", tied_to="nothing"), "not stored"),
    "tie to itself": (record("x", tied_to="x"), "not stored"),
    "tie to a tie": (lambda g: (record("x", tied_to="y")(g), record("y", tied_to="x")(g)), "not stored"),
    "tie of another kind": (record("x", tied_to="head.weight"), "another kind"),
    "tied tensor with code for a name": (
        record("a b", kind="parameter", trainable=True, tied_to="head.weight"), "is no path",
    ),
    "stored tensor that is tied": (record("head.bias", tied_to="head.weight"), "different tensors"),
    "parameter made a buffer": (record("head.weight", kind="buffer", trainable=False), "needs"),
    "buffer that is trained": (record("deep.1.running_mean", trainable=True), "not trainable"),
    "integer that is trained": (
        record("deep.1.num_batches_tracked", kind="parameter", trainable=True), "cannot be trained",
    ),
    "two outputs of nothing": (lambda g: g.update(output={"tuple": [node(99999)]}), "output"),
    "an unknown output": (lambda g: g.update(output={"set": [node(0)]}), "is no output"),
    "an output without a word": (lambda g: g.update(output=[node(0)]), "is no output"),
    "a dtype for an output": (lambda g: g.update(output={"dtype": "int8"}), "is no output"),
    "an output's key twice": (lambda g: g.update(output={"dict": [["a", node(0)], ["a", node(0)]]}), "each once"),
    "an output's key a number": (lambda g: g.update(output={"dict": [[1, node(0)]]}), "no pair"),
    "inputs that are not read": (lambda g: g["inputs"].append({"name": "y", "dtype": "float32", "shape": [1]}), "same"),
    "an input's name twice": (
        lambda g: (g["inputs"].append(g["inputs"][0]), g["nodes"].insert(1, g["nodes"][0]), g.update(output=node(0))),
        "stands twice",
    ),
    "unknown dtype": (lambda g: g["inputs"][0].update(dtype="object"), "unknown dtype"),
    "dtype that the layers refuse": (lambda g: g["inputs"][0].update(dtype="float64"), r"nodes\[1\]: .*float64"),
    "shape that the layers refuse": (lambda g: g["inputs"][0].update(shape=["batch", 2, 8, 8]), r"nodes\[1\]: stem.0"),
    "size of an unknown symbol": (lambda g: g["sizes"].update(length=3), "sizes name"),
    "symbol without a size": (lambda g: g["inputs"][0]["shape"].__setitem__(2, "length"), "sizes name"),
    "size of millions": (lambda g: g["sizes"].update(batch=10**9), "sizes.batch"),
    "size of zero": (lambda g: g["sizes"].update(batch=0), "sizes.batch"),
    "symbol with code": (lambda g: g["inputs"][0]["shape"].__setitem__(0, "b()"), "inputs.0.shape"),
    "later version": (lambda g: g.update(version=3), "version 3"),
    "version as text": (lambda g: g.update(version="2"), "version '2'"),
    "another format": (lambda g: g.update(format="onnx"), "format"),
    "unknown field": (lambda g: g.update(hook="x"), "hook"),
    "field of another node": (lambda g: first(g, "input").update(target="x"), "target"),
    "unknown kind of node": (lambda g: first(g, "call").update(op="call_method"), "op"),
    "missing field": (lambda g: g.pop("output"), "output"),
    "unknown constraint": (
        lambda g: g["leaves"][LEAF].update(constraints={"weight": [{"type": "Exec", "config": {}}]}), "Exec",
    ),
    "constraint on what is no tensor": (
        lambda g: g["leaves"][LEAF].update(constraints={"forward": [{"type": "Dequantize", "config": {}}]}), "forward",
    ),
    "leaf in place of a leaf's weight": (
        lambda g: g["leaves"].update({"head.weight": {"type": "Dropout", "config": {"p": 0.5}}}), "no node calls",
    ),
    "leaf that no node calls": (
        lambda g: g["leaves"].update({"extra": {"type": "Dropout", "config": {"p": 0.5}}}), "no node calls",
    ),
    "leaf that is not there": (lambda g: first(g, "leaf").update(leaf="nothing"), "no leaf"),
    "leaf called with a number": (lambda g: first(g, "leaf").update(args=[1]), "takes 1 to 1 nodes"),
    "leaf called with two": (lambda g: first(g, "leaf").update(args=[node(0), node(0)]), "takes 1 to 1 nodes"),
    "leaf through a number": (rename_leaf("stem.0.in_channels.x"), "is missing|different tensors"),
    "tensor node of nothing": (lambda g: g["nodes"].insert(1, {"op": "tensor", "tensor": "nothing"}), "no tensor"),
    "infinite number": (lambda g: g["facts"].update(x=float("inf")), "bare constant"),
    "not a number": (lambda g: g["facts"].update(x=float("nan")), "bare constant"),
    "sample of terabytes": (lambda g: g["inputs"][0].update(shape=["batch", 2**27, 2**27]), "elements"),
    "shape of 17 dimensions": (lambda g: g["inputs"][0].update(shape=[1] * 17), "inputs.0.shape"),
    "input after a call": (lambda g: g["nodes"].append({"op": "input", "input": "y"}), "before all other nodes"),
    "unknown form": (lambda g: g.update(form="magic"), "form"),
    "lone surrogate in an output's key": (lambda g: g.update(output={"dict": [["\ud800", node(0)]]}), "graph.json"),
    "no node at all": (lambda g: g.update(nodes=[]), "no node calls"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_tampered_graph_is_refused(name: str) -> None:
    change, message = CHANGES[name]
    with pytest.raises(ModelFormatError, match=message):
        load(changed(FILES, change), FILES.tensors)


def test_the_untampered_graph_loads() -> None:
    assert load(changed(FILES, lambda _: None), FILES.tensors).inputs[0].name == "x"


@pytest.mark.parametrize("key", ["a'b\"c", "{0}", "x'); raise SystemExit(7); ('", "\n", "\\", "é", ""])
def test_an_outputs_key_may_be_any_text_and_runs_nothing(key: str) -> None:
    model = read(graph([call("aten.relu.default", node(0))], output={"dict": [["z", node(1)], [key, node(0)]]}))
    (x,) = model.examples()
    assert list(model.module(x)) == ["z", key]
    files = save(model)
    assert list(load(files.graph_json, files.tensors).module(x)) == ["z", key]


def test_no_input_takes_the_place_of_another_or_of_a_builtin() -> None:
    """Torch writes source in which ``input`` becomes ``input_1``; paths with numbers are read by ``getattr``."""
    drop = {"0.1": {"type": "Dropout", "config": {"p": 0.5}}}
    call_of_leaf: Json = {"op": "leaf", "leaf": "0.1", "args": [node(0)]}
    nodes = [{"op": "input", "input": "y"}, call_of_leaf, call("aten.sub.Tensor", node(2), node(1))]
    both = [name for name in (*dir(builtins), "x", "slice_1") if is_input_name(f"{name}_1")]
    names = [name for name in both if is_input_name(name)]
    assert {"input", "slice", "type"} - {*names} == {"type"}  # an attribute of modules
    for name in names:
        document = json.loads(graph(nodes, leaves=drop, output=node(3)))
        other = {**document["inputs"][0], "name": f"{name}_1"}
        document["inputs"] = [{**other, "name": name}, other]
        for i in (0, 1):
            document["nodes"][i]["input"] = document["inputs"][i]["name"]
        model = read(json.dumps(document).encode())
        assert model.module(torch.ones(1, 4), torch.zeros(1, 4)).tolist() == [[1.0] * 4], name


def test_text_in_an_argument_is_one_of_the_operators_words() -> None:
    for target, args, word in (
        ("aten.gelu.default", (), {"approximate": "tanh"}),
        ("aten.pad.default", ([1, 1], "reflect"), {}),
        ("aten.div.Tensor_mode", (node(0),), {"rounding_mode": "floor"}),
        ("aten.scatter_reduce.two", (0, node(1), node(0), "amax"), {}),
    ):
        nodes = [call("aten.to.dtype", node(0), {"dtype": "int64"}), call(target, node(0), *args, **word)]
        assert read(graph(nodes)).module
        text = graph(nodes)
        for good in (b'"tanh"', b'"reflect"', b'"floor"', b'"amax"'):
            text = text.replace(good, b"\"x'); raise SystemExit(7); ('\"")
        with pytest.raises(ModelFormatError, match="it may be"):
            read(text)


def test_arguments_by_keyword_are_read_into_their_places() -> None:
    """Analyses look for an operator's tensor where exports put it."""
    document = json.loads(graph([call("aten.amax.default", keepdim=True, dim=[1], self=node(0))]))
    positions = json.loads(graph([call("aten.amax.default", node(0), [1], True)]))
    model = read(json.dumps(document).encode())
    assert analyse(model).prunable() == ()
    assert save(model) == save(read(json.dumps(positions).encode()))
    gap = read(graph([call("aten.amax.default", self=node(0), keepdim=True)]))
    (x,) = gap.examples()
    assert gap.module(x).shape == (1, 1)


def test_an_index_of_nothing_is_analysed() -> None:
    model = read(graph([call("aten.index.Tensor", node(0), [None])]))
    assert analyse(model).prunable() == ()


@pytest.mark.parametrize("equation", ["ij,jk->ik", "bij, bkj -> bik", "...i,ij->...j"])
def test_equations_are_letters(equation: str) -> None:
    x = call("aten.einsum.default", equation, [node(0), node(0)])
    shape = ("batch", 4, 4) if equation[0] == "b" else (4, 4)
    assert read(graph([x], shape)).module


@pytest.mark.parametrize("equation", ["i j);(", "ij->ij->ij", "i" * 200, "ij,jk->ik\n", "{},{}"])
def test_equations_of_anything_else_are_refused(equation: str) -> None:
    with pytest.raises(ModelFormatError, match="letters, commas, dots"):
        read(graph([call("aten.einsum.default", equation, [node(0), node(0)])], (4, 4)))


def test_no_target_of_the_list_makes_a_tensor_of_its_own_or_touches_a_file() -> None:
    """Creators take a tensor whose device they use; nothing has an ``out`` or changes its input."""
    for name, target in targets().items():
        if name in PLAIN:
            continue
        schema = target._schema  # type: ignore[attr-defined]
        kinds = [str(a.type) for a in schema.arguments]
        assert any("Tensor" in kind for kind in kinds), name
        assert not any(a.alias_info is not None and a.alias_info.is_write for a in schema.arguments), name
        assert all(a.name not in ("filename", "out", "generator", "storage") for a in schema.arguments), name


def test_no_file_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The texts of code that the changes above hold, as file-making code, from an empty folder."""
    monkeypatch.chdir(tmp_path)
    code = "x'); open('owned', 'w'); ('"
    for change in (rename_leaf(code), rename_input(code), lambda g: first(g, "call").update(kwargs={code: 1})):
        with pytest.raises(ModelFormatError):
            load(changed(FILES, change), FILES.tensors)
    read(graph([call("aten.relu.default", node(0))], output={"dict": [[code, node(0)]]}))
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_twice_in_one_object_is_refused() -> None:
    text = json.dumps(json.loads(FILES.graph_json)).replace('"form": "dense"', '"form": "dense", "form": "dense"')
    with pytest.raises(ModelFormatError, match="duplicate key"):
        load(text.encode(), FILES.tensors)
