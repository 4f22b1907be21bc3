import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from modelpress.errors import StepError
from modelpress.graph.packages.strip import strip

INPUTS = {"x": ("batch", 1, 4, 4)}


def constant(name: str, value: float) -> onnx.TensorProto:
    return numpy_helper.from_array(np.float32(value), name)


def labelled() -> onnx.ModelProto:
    """y = (x + 1) * 1 * 2, with two equal constants, an unused one, and labels everywhere."""
    nodes = [
        helper.make_node("Add", ["image", "one"], ["a_long_inner_name"], name="node_1", doc_string="says nothing"),
        helper.make_node("Mul", ["a_long_inner_name", "another_one"], ["second_inner_name"]),
        helper.make_node("Mul", ["second_inner_name", "two"], ["third"]),
        helper.make_node(
            "MaxPool", ["third"], ["result"], kernel_shape=[2, 2], strides=[1, 1], pads=[0, 0, 0, 0], ceil_mode=0
        ),
    ]
    graph = helper.make_graph(
        nodes, "main_graph",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["s77", 1, 4, 4])],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, ["s77", 1, 3, 3])],
        [constant("two", 2), constant("unused", 5), constant("another_one", 1), constant("one", 1)],
        value_info=[helper.make_tensor_value_info("third", TensorProto.FLOAT, ["s77", 1, 4, 4])],
    )  # fmt: skip
    model = helper.make_model(
        graph, producer_name="somebody", ir_version=10,
        opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("pkg.unused", 1)],
    )  # fmt: skip
    helper.set_model_props(model, {"key": "value"})
    return model


@pytest.fixture
def stripped() -> onnx.ModelProto:
    return onnx.load_from_string(strip(labelled(), INPUTS, ["output"]))


def test_what_no_runtime_needs_is_gone(stripped: onnx.ModelProto) -> None:
    assert (stripped.producer_name, list(stripped.metadata_props), list(stripped.graph.value_info)) == ("", [], [])
    assert [(entry.domain, entry.version) for entry in stripped.opset_import] == [("", 20)]
    assert {(node.name, node.doc_string) for node in stripped.graph.node} == {("", "")}


def test_names_are_short_and_those_of_inputs_and_outputs_stable(stripped: onnx.ModelProto) -> None:
    graph = stripped.graph
    assert [value.name for value in (*graph.input, *graph.output)] == ["x", "output"]
    assert [list(node.input) for node in graph.node] == [["x", "a"], ["b", "a"], ["c", "d"], ["e"]]
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_equal_constants_are_one_and_unused_ones_none(stripped: onnx.ModelProto) -> None:
    values = {t.name: float(numpy_helper.to_array(t)) for t in stripped.graph.initializer}
    assert values == {"a": 1.0, "d": 2.0}


def test_attributes_that_say_the_default_go(stripped: onnx.ModelProto) -> None:
    assert [attribute.name for attribute in stripped.graph.node[-1].attribute] == ["kernel_shape"]


def test_it_computes_the_same() -> None:
    import onnxruntime as ort

    x = np.arange(32, dtype=np.float32).reshape(2, 1, 4, 4)
    ends = []
    for data, name in ((labelled().SerializeToString(), "image"), (strip(labelled(), INPUTS, ["output"]), "x")):
        session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
        ends.append(session.run(None, {name: x})[0])
    assert np.array_equal(ends[0], ends[1])


def test_the_bytes_do_not_depend_on_the_exporters_names() -> None:
    other = labelled()
    renamed = {
        name: f"v_{i}" for i, name in enumerate({n for node in other.graph.node for n in (*node.input, *node.output)})
    }
    for node in other.graph.node:
        node.input[:] = [renamed[name] for name in node.input]
        node.output[:] = [renamed[name] for name in node.output]
    for thing in (*other.graph.input, *other.graph.output, *other.graph.initializer, *other.graph.value_info):
        thing.name = renamed.get(thing.name, thing.name)
    assert strip(other, INPUTS, ["output"]) == strip(labelled(), INPUTS, ["output"])


def test_dynamic_dimensions_are_called_by_their_symbols() -> None:
    model = labelled()
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "2*s77 + other"
    stripped = onnx.load_from_string(strip(model, {"x": ("nodes", 1, 4, 4)}, ["output"]))
    dims = [value.type.tensor_type.shape.dim[0].dim_param for value in (*stripped.graph.input, *stripped.graph.output)]
    assert dims == ["nodes", "2*nodes + other"]


def test_an_inner_graph_is_refused() -> None:
    model = labelled()
    branch = helper.make_graph([], "g", [], [helper.make_tensor_value_info("one", TensorProto.FLOAT, [])])
    model.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch))
    with pytest.raises(StepError, match="an inner graph in If"):
        strip(model, INPUTS, ["output"])
